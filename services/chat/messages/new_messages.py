"""Writing messages: all that wait for the same space are written in one transaction.

Each is judged alone, as if it came alone: one that is refused leaves no trace and takes nobody with it. What others
wait for comes last: commands, the rows of what is answered, the authors' turns, and then the space's counter.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil

from libs.common.access import Action, Standing
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.chat import Message, MessageReply, PostMessage, message_posted
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Fact, Transaction
from libs.common.errors import CONFLICT, NOT_FOUND, SLOW_MODE, PresenceError
from libs.common.ids import new_id
from libs.common.roles import Role
from libs.common.spaces import SpaceKey
from libs.common.tasks.batching import Batches
from services.chat.messages import messages_repository as repository
from services.chat.messages.messages_repository import Stored
from services.chat.notifications import subscriptions_repository as subscriptions
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules import text_rules as content
from services.chat.rules.commands_repository import Command
from services.chat.rules.filters import Draft, Filter, check_all
from services.chat.rules.policy import Policy


@dataclass(eq=False, slots=True)
class Post:
    """A message on its way, and what was found out about it."""

    caller: Caller
    draft: Message
    command: Command
    standing: Standing | None = None
    answered: Stored | None = None
    review: asyncio.Task[None] | None = None  # by the filters, each post once

    @property
    def author_key(self) -> str:
        return self.caller.identity.key


type Refusals = dict[Post, PresenceError | None]  # None: not now, but it may come again


class Posting:
    """Everything is checked against the policy at the moment of use."""

    def __init__(
        self, database: Database, log: EventLog, policy: Policy, recipients: Recipients, notifier: Notifier,
        filters: Sequence[Filter],
    ) -> None:  # fmt: skip
        self._database, self._log, self._policy = database, log, policy
        self._recipients, self._notifier, self._filters = recipients, notifier, filters
        self._batches = Batches(self._write)

    async def post_message(self, caller: Caller, request: PostMessage) -> MessageReply:
        """Store a message and its log row; the same `client_message_id` gives the first one's message."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        post = _post_of(caller, space, request)
        await self._recipients.remember(self._database, caller.identity.account)
        while (message := await self._batches.do(space, post)) is None:
            if post.review:
                await asyncio.wait([post.review])
        return MessageReply(message)

    async def _write(self, space: SpaceKey, posts: Sequence[Post]) -> list[Message | PresenceError | None]:
        """One transaction. What was written before is answered with what was written then."""
        async with self._log.transaction() as tx:
            ids = [post.draft.id for post in posts]
            fresh = await commands.begin_all(tx.connection, [post.command for post in posts], ids)
            new = [post for post in posts if post.draft.id in fresh]
            refusals = await self._judge(tx, space, new)
            await commands.undo(tx.connection, [post.command for post in refusals])
            told = await self._store(tx, space, [post for post in new if post not in refusals])
        for message, kinds in told:
            self._notifier.tell(message, kinds)
        written = {message.id: message for message, _ in told}
        earlier = await self._earlier([post.command for post in posts if post not in refusals and post not in new])
        return [
            refusals[post] if post in refusals else written.get(post.draft.id) or earlier.get(post.command)
            for post in posts
        ]

    async def _earlier(self, done: Sequence[Command]) -> dict[Command, Message | PresenceError]:
        """What commands wrote that were carried out before. Nothing for the twin of one that was refused just now."""
        if not done:
            return {}
        async with self._database.read() as connection:
            ids = await commands.subjects_of(connection, done)
            found = await repository.get_all(connection, set(ids.values()))
        return {
            command: found[id].message if id in found else PresenceError(NOT_FOUND, "That message is gone by now.")
            for command, id in ids.items()
        }

    # Judging

    async def _judge(self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
        """Why posts are not written. Each rule sees what the rules before it let pass."""
        refusals: Refusals = {}

        def left() -> list[Post]:
            return [post for post in posts if post not in refusals]

        if posts:
            refusals |= await self._not_allowed(tx, space, posts)
            refusals |= await self._not_welcome(left())
            refusals |= await _without_parent(tx, space, left())
            refusals |= await _too_soon(tx, space, left())
        return refusals

    async def _not_allowed(self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
        standings = await self._policy.standings(tx.connection, [post.caller for post in posts], space)
        for post, standing in zip(posts, standings, strict=True):
            post.standing = standing
        return _refused(posts, lambda post: _standing(post).require(Action.CHAT))

    async def _not_welcome(self, posts: Sequence[Post]) -> Refusals:
        """What the filters refuse. A text that one of them still looks at does not keep the others waiting."""
        for post in posts:
            if post.review is None:
                draft = Draft(post.caller.identity, _standing(post), str(post.draft.content))
                post.review = asyncio.create_task(check_all(self._filters, draft))
        await asyncio.sleep(0)  # so that those that wait for nothing are done
        waiting: Refusals = {post: None for post in posts if post.review and not post.review.done()}
        return waiting | _refused((post for post in posts if post not in waiting), _require_passed)

    # Storing

    async def _store(
        self, tx: Transaction, space: SpaceKey, posts: Sequence[Post]
    ) -> list[tuple[Message, dict[str, str]]]:
        """The messages, and who is told of each."""
        if not posts:
            return []
        drafts = await self._with_mentions(tx, [post.draft for post in posts])
        answered = [post.answered.message.user_account if post.answered else None for post in posts]
        told = await self._recipients.of(tx.connection, space, list(zip(drafts, answered, strict=True)))
        await subscriptions.notify(tx.connection, zip(drafts, told, strict=True))
        await repository.count_replies(
            tx.connection, Counter(post.answered.message.id for post in posts if post.answered)
        )
        events = await tx.append_all([_fact(space, post, draft) for post, draft in zip(posts, drafts, strict=True)])
        messages = [replace(draft, seq=event.seq) for draft, event in zip(drafts, events, strict=True)]
        stored = [Stored(message, post.author_key) for post, message in zip(posts, messages, strict=True)]
        await repository.insert(tx.connection, stored)
        return list(zip(messages, told, strict=True))

    async def _with_mentions(self, tx: Transaction, drafts: Sequence[Message]) -> list[Message]:
        named = [content.mentioned(str(draft.content)) for draft in drafts]
        known = set(await self._recipients.known(tx.connection, sorted({name for names in named for name in names})))
        return [
            replace(draft, mentions=[name for name in names if name in known])
            for draft, names in zip(drafts, named, strict=True)
        ]


async def _without_parent(tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
    """Replies to what is not there, or no more. What is answered stays locked."""
    asked = {post.draft.parent_message_id for post in posts if post.draft.parent_message_id}
    found = await repository.lock_all(tx.connection, asked)

    def require_parent(post: Post) -> None:
        if not post.draft.parent_message_id:
            return
        parent = found.get(post.draft.parent_message_id)
        if parent is None or parent.space != space or parent.message.subspace != post.draft.subspace:
            raise PresenceError(NOT_FOUND, "There is no such message to reply to.")
        if parent.message.is_deleted:
            raise PresenceError(CONFLICT, "That message was deleted.")
        post.answered = parent

    return _refused(posts, require_parent)


async def _too_soon(tx: Transaction, space: SpaceKey, posts: Sequence[Post]) -> Refusals:
    """Slow mode: an author's next message, but a moderator's, waits so long."""
    slowed = [post for post in posts if _pace(post)]
    if not slowed:
        return {}
    seconds = _pace(slowed[0])
    waits = await repository.take_turns(tx.connection, space, sorted({post.author_key for post in slowed}), seconds)
    taken: set[str] = set()

    def require_turn(post: Post) -> None:
        """An author's first post takes the turn, if there is one."""
        wait = waits.get(post.author_key, seconds if post.author_key in taken else None)
        if wait is not None:
            raise PresenceError(SLOW_MODE, details={"retry_after": max(ceil(wait), 1)})
        taken.add(post.author_key)

    return _refused(slowed, require_turn)


def _pace(post: Post) -> int:
    """Seconds between two messages of this author; 0 where there is no slow mode."""
    standing = _standing(post)
    return 0 if standing.role >= Role.MODERATOR else max(int(standing.settings["slow_mode_seconds"]), 0)


def _refused(posts: Iterable[Post], require: Callable[[Post], None]) -> Refusals:
    """Those for whom `require` raises, and what."""
    refusals: Refusals = {}
    for post in posts:
        try:
            require(post)
        except PresenceError as error:
            refusals[post] = error
    return refusals


def _require_passed(post: Post) -> None:
    assert post.review is not None  # noqa: S101  it was begun
    post.review.result()


def _standing(post: Post) -> Standing:
    assert post.standing is not None  # noqa: S101  the first thing that is asked
    return post.standing


def _fact(space: SpaceKey, post: Post, draft: Message) -> Fact[Message]:
    return Fact(
        message_posted, space, draft.subspace, lambda seq: replace(draft, seq=seq), caller=post.caller, subject=draft.id
    )


def _post_of(caller: Caller, space: SpaceKey, request: PostMessage) -> Post:
    """The message as it will be, but for its `seq` and its mentions."""
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
        content=content.clean(request.content),
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
