"""Stores new messages: all that wait for the same space are stored in one transaction, a batch.

Each post is judged as if it came alone: a refused one leaves no trace and refuses no other. Locks that other writers
wait for are taken last: commands, the rows of answered messages, the authors' turns, and then the space's counter.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.chat import Message, MessageReply, PostMessage, message_posted
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Fact, Transaction
from libs.common.errors import CONFLICT, NOT_FOUND, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from services.chat.messages import messages_repository
from services.chat.messages.messages_repository import StoredMessage
from services.chat.notifications import notifications_repository
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules import mentions, slow_mode, text_rules
from services.chat.rules.commands_repository import Command
from services.chat.rules.filters import Draft, Filter, check_all
from services.chat.rules.policy import Policy


@dataclass(eq=False, slots=True)
class Post:
    """A message that waits to be stored, with the facts that judging it found."""

    caller: Caller
    draft: Message
    command: Command
    standing: Standing | None = None
    answered: StoredMessage | None = None
    review: asyncio.Task[None] | None = None  # by the filters, once a post

    @property
    def author_key(self) -> str:
        """The author's `Identity.key`."""
        return self.caller.identity.key


_GONE = "That message is gone by now."

type Refusals = dict[Post, PresenceError | None]  # None: not decided yet, the post is to come again


class PostHandlers:
    """Asks the policy at the moment of storing, for each post."""

    def __init__(
        self,
        database: Database,
        log: EventLog,
        policy: Policy,
        recipients: Recipients,
        notifier: Notifier,
        filters: Sequence[Filter],
    ) -> None:
        self._database = database
        self._log = log
        self._policy = policy
        self._recipients = recipients
        self._notifier = notifier
        self._filters = filters
        self._batches = Batches(self._write)

    async def post_message(self, caller: Caller, request: PostMessage) -> MessageReply:
        """Stores a message and its log row; returns the first message for a `client_message_id` that comes again.

        Raises as the policy and the filters do, `not_found` or `conflict` for a parent that is gone, `slow_mode`.
        """
        space = SpaceKey.parse(request.space_type, request.space_id)
        post = _post_of(caller, space, request)
        await self._recipients.remember(self._database, caller.identity.account)
        while (message := await self._batches.do(space, post)) is None:
            if post.review:
                await asyncio.wait([post.review])
        return MessageReply(message)

    async def _write(self, space: SpaceKey, posts: Sequence[Post]) -> list[Message | PresenceError | None]:
        """Stores a batch in one transaction; returns an outcome a post, in their order.

        The outcome is the message, also of a command carried out before, or the error; None for a post to bring again.
        """
        async with self._log.transaction() as tx:
            ids = [post.draft.id for post in posts]
            fresh = await commands.begin_all(tx.connection, [post.command for post in posts], ids)
            new = [post for post in posts if post.draft.id in fresh]
            refusals = await self._judge(tx, space, new)
            await commands.undo(tx.connection, [post.command for post in refusals])
            stored = await self._store(tx, space, [post for post in new if post not in refusals])
        for message, kinds in stored:
            if kinds:
                self._notifier.notify(notifications_repository.said(message), kinds)
        written = {message.id: message for message, _ in stored}
        earlier = await self._earlier([post.command for post in posts if post not in refusals and post not in new])
        return [
            refusals[post] if post in refusals else written.get(post.draft.id) or earlier.get(post.command)
            for post in posts
        ]

    async def _earlier(self, done: Sequence[Command]) -> dict[Command, Message | PresenceError]:
        """Returns the messages of commands that were carried out before.

        It leaves out a command whose twin in this batch was refused.
        """
        if not done:
            return {}
        async with self._database.read() as connection:
            ids = await commands.subjects_of(connection, done)
            messages = await messages_repository.get_all(connection, set(ids.values()))
        return {
            command: stored.message if (stored := messages.get(message_id)) else PresenceError(NOT_FOUND, _GONE)
            for command, message_id in ids.items()
        }

    # Judging

    async def _judge(self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
        """Returns the refused posts with their errors. Each rule sees the posts that the rules before it let pass."""
        refusals: Refusals = {}

        def accepted() -> list[Post]:
            return [post for post in posts if post not in refusals]

        if posts:
            refusals |= await self._refused_by_policy(tx, space, posts)
            refusals |= await self._refused_by_filters(accepted())
            refusals |= await _refused_as_replies(tx, space, accepted())
            refusals |= await _refused_by_slow_mode(tx, space, accepted())
        return refusals

    async def _refused_by_policy(self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
        standings = await self._policy.standings(tx.connection, [post.caller for post in posts], space)
        for post, standing in zip(posts, standings, strict=True):
            post.standing = standing
        return _refused(posts, lambda post: _standing(post).require(Action.CHAT))

    async def _refused_by_filters(self, posts: Sequence[Post]) -> Refusals:
        """Returns the posts that filters refuse; a post whose filters are not done does not keep the others waiting."""
        for post in posts:
            if post.review is None:
                draft = Draft(post.caller, _standing(post), str(post.draft.content))
                post.review = asyncio.create_task(check_all(self._filters, draft))
        await asyncio.sleep(0)  # lets filters that wait for nothing finish
        pending: Refusals = {post: None for post in posts if post.review and not post.review.done()}
        return pending | _refused((post for post in posts if post not in pending), _require_passed)

    # Storing

    async def _store(
        self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]
    ) -> list[tuple[Message, dict[str, str]]]:
        """Stores the messages; returns each with the accounts it notifies, by account → kind."""
        if not posts:
            return []
        drafts = await self._with_mentions(tx, [post.draft for post in posts])
        answered = [post.answered.message.user_account if post.answered else None for post in posts]
        kinds = await self._recipients.of(tx.connection, space, list(zip(drafts, answered, strict=True)))
        said = [notifications_repository.said(draft) for draft in drafts]
        await notifications_repository.insert(tx.connection, zip(said, kinds, strict=True))
        await messages_repository.count_replies(
            tx.connection, Counter(post.answered.message.id for post in posts if post.answered)
        )
        events = await tx.append_all([_fact(space, post, draft) for post, draft in zip(posts, drafts, strict=True)])
        messages = [replace(draft, seq=event.seq) for draft, event in zip(drafts, events, strict=True)]
        stored = [StoredMessage(message, post.author_key) for post, message in zip(posts, messages, strict=True)]
        await messages_repository.insert(tx.connection, stored)
        return list(zip(messages, kinds, strict=True))

    async def _with_mentions(self, tx: Transaction, drafts: Sequence[Message]) -> list[Message]:
        named = [mentions.mentioned(str(draft.content)) for draft in drafts]
        known = set(await self._recipients.known(tx.connection, sorted({name for names in named for name in names})))
        return [
            replace(draft, mentions=[name for name in names if name in known])
            for draft, names in zip(drafts, named, strict=True)
        ]


async def _refused_as_replies(tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
    """Returns replies whose parent is not there, or is deleted. The parents stay locked."""
    parent_ids = {post.draft.parent_message_id for post in posts if post.draft.parent_message_id}
    parents = await messages_repository.lock_all(tx.connection, parent_ids)

    def require_parent(post: Post) -> None:
        if not post.draft.parent_message_id:
            return
        parent = parents.get(post.draft.parent_message_id)
        if parent is None or parent.space != space or parent.message.subspace != post.draft.subspace:
            raise PresenceError(NOT_FOUND, "There is no such message to reply to.")
        if parent.message.is_deleted:
            raise PresenceError(CONFLICT, "That message was deleted.")
        post.answered = parent

    return _refused(posts, require_parent)


async def _refused_by_slow_mode(tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
    """Returns posts that come too soon after their author's last one, also after one in this batch."""
    slowed = [post for post in posts if slow_mode.seconds_between(_standing(post))]
    if not slowed:
        return {}
    seconds = slow_mode.seconds_between(_standing(slowed[0]))
    wanted = [slow_mode.paced_as(post.caller) for post in slowed]
    outcomes = await slow_mode.take_turns(tx.connection, space, seconds, wanted)
    return {post: refusal for post, refusal in zip(slowed, outcomes, strict=True) if refusal}


def _refused(posts: Iterable[Post], require: Callable[[Post], None]) -> Refusals:
    """Returns the posts for which `require` raises, each with its error."""
    refusals: Refusals = {}
    for post in posts:
        try:
            require(post)
        except PresenceError as error:
            refusals[post] = error
    return refusals


def _require_passed(post: Post) -> None:
    assert post.review is not None  # noqa: S101  the filters were asked
    post.review.result()


def _standing(post: Post) -> Standing:
    assert post.standing is not None  # noqa: S101  the policy is asked first
    return post.standing


def _fact(space: SpaceKey, post: Post, draft: Message) -> Fact[Message]:
    return Fact(
        message_posted, space, draft.subspace, lambda seq: replace(draft, seq=seq), caller=post.caller, subject=draft.id
    )


def _post_of(caller: Caller, space: SpaceKey, request: PostMessage) -> Post:
    """Returns the post with its message, complete but for `seq` and mentions. Raises `invalid_input`."""
    moment = now()
    draft = Message(
        id=new_id(),
        seq=0,
        space_type=space.space_type,
        space_id=space.space_id,
        subspace=request.subspace,
        user_account=caller.identity.account,
        guest=caller.identity.guest,
        display_name=caller.identity.display_name,
        message_type=request.message_type,
        content=text_rules.clean(request.content),
        parent_message_id=request.parent_message_id,
        thread_count=0,
        reactions={},
        mentions=[],
        is_edited=False,
        is_deleted=False,
        created_at=moment,
        updated_at=moment,
        client_message_id=request.client_message_id or new_id(),
    )
    return Post(caller, draft, Command(caller.identity.key, "post", str(space), str(draft.client_message_id)))
