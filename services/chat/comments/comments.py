"""Comments on documents; the document's permissions decide who writes and resolves them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.clock import now
from libs.common.contracts.documents import (
    Comment,
    CommentChanged,
    CommentId,
    CommentReply,
    EditComment,
    PostComment,
    comment_changed,
)
from libs.common.db.engine import Database
from libs.common.db.event_log import EventLog, Transaction
from libs.common.db.redaction import forget_words
from libs.common.errors import CONFLICT, FORBIDDEN, PresenceError
from libs.common.ids import new_id
from libs.common.spaces import MAIN, SpaceKey
from services.chat.comments import comments_repository as repository
from services.chat.comments.comment_queries import read_comment, space_of
from services.chat.comments.comments_repository import StoredComment
from services.chat.notifications import notifications_repository
from services.chat.notifications.notifications_repository import Said
from services.chat.notifications.notifier import Notifier
from services.chat.notifications.recipients import Recipients
from services.chat.rules import commands_repository as commands
from services.chat.rules import mentions, text_rules
from services.chat.rules.commands_repository import AlreadyDone, Command
from services.chat.rules.filters import Draft, Filter, check_all
from services.chat.rules.policy import Policy

type Change = Callable[[Transaction, StoredComment], Awaitable[Comment]]


class CommentHandlers:
    """Each document is a space; its comments are events there, with the space's `seq`."""

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

    # Writing

    async def post_comment(self, caller: Caller, request: PostComment) -> CommentReply:
        """Stores a comment and its log row; returns the first comment for a `client_message_id` that comes again."""
        space, draft = space_of(request.document_id), _draft(caller, request)
        await self._recipients.remember(self._database, caller.identity.account)
        command = Command(caller.identity.key, "comment", str(space), str(draft.client_message_id))
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, draft.id)
                comment, named = await self._store(tx, caller, space, draft)
        except AlreadyDone:
            async with self._log.transaction() as tx:
                first = (await commands.subjects_of(tx.connection, [command]))[command]
                return CommentReply((await repository.get(tx.connection, request.document_id, first)).comment)
        self._notifier.notify(_said(comment), named)
        return CommentReply(comment)

    async def _store(
        self, tx: Transaction, caller: Caller, space: SpaceKey, draft: Comment
    ) -> tuple[Comment, dict[str, str]]:
        """Returns the comment as it is stored, and the accounts that it names, with the kind of each notification."""
        draft = replace(draft, content=await self._checked(tx.connection, caller, space, str(draft.content)))
        if draft.parent_comment_id:
            await repository.count_reply(tx.connection, draft.document_id, draft.parent_comment_id, +1)
        named = await self._notify(tx, "", draft)
        event = await tx.append(
            comment_changed,
            space,
            caller,
            lambda seq: _changed("posted", caller, replace(draft, seq=seq)),
            subject=draft.id,
        )
        comment = replace(draft, seq=event.seq)
        await repository.insert(tx.connection, comment, caller.identity.key)
        return comment, named

    async def _checked(self, connection: AsyncConnection, caller: Caller, space: SpaceKey, text: str) -> str:
        standing = await self._policy.require(connection, caller, space, Action.COMMENT)
        text = text_rules.clean(text)
        await check_all(self._filters, Draft(caller, standing, text))
        return text

    async def _notify(self, tx: Transaction, before: str, after: Comment) -> dict[str, str]:
        """Takes mentions back that the new words do not make, and makes those that the old ones did not.

        Returns the accounts that only the new words name, with the kind of each.
        """
        old, new = mentions.mentioned(before), mentions.mentioned(after.content or "")
        removed = set(old) - set(new)
        known = await self._recipients.known(tx.connection, [name for name in new if name not in old])
        await notifications_repository.withdraw(tx.connection, after.id, removed, {})
        if not known:
            return {}
        space = space_of(after.document_id)
        named = await self._recipients.named_by(tx.connection, space, after.user_account, known)
        await notifications_repository.insert(tx.connection, [(_said(after), named)])
        return named

    # Changing

    async def edit_comment(self, caller: Caller, request: EditComment) -> CommentReply:
        """Changes the author's own comment. An edit that changes nothing makes no event."""

        async def edit(tx: Transaction, stored: StoredComment) -> Comment:
            space, before = space_of(request.document_id), stored.comment
            await self._policy.require(tx.connection, caller, space, Action.COMMENT)
            if stored.author_key != caller.identity.key:
                raise PresenceError(FORBIDDEN, "Only its author can edit a comment.")
            _require_alive(before)
            text = before.content
            if request.content is not None:
                text = await self._checked(tx.connection, caller, space, request.content)
            if text != before.content:
                await repository.keep_edit(tx.connection, before, caller.identity.key)
            after = replace(
                before,
                content=text,
                comment_type=request.comment_type or before.comment_type,
                section=request.section or before.section,
                position=request.position or before.position,
            )
            return before if after == before else replace(after, is_edited=True)

        return await self._change(
            caller, CommentId(request.document_id, request.id, request.client_message_id), edit, "edited"
        )

    async def delete_comment(self, caller: Caller, request: CommentId) -> CommentReply:
        """Deletes the author's own comment, or as a moderator another's; returns the tombstone."""

        async def erase(tx: Transaction, stored: StoredComment) -> Comment:
            if stored.author_key != caller.identity.key:
                space = space_of(request.document_id)
                await self._policy.require_over_words_of(tx.connection, caller, space, stored.author_key)
            before = stored.comment
            if before.parent_comment_id and not before.is_deleted:
                await repository.count_reply(tx.connection, before.document_id, before.parent_comment_id, -1)
            await repository.forget_edits(tx.connection, before.id)
            await notifications_repository.forget(tx.connection, before.id)
            await forget_words(tx.connection, before.id)
            return replace(before, content=None, is_deleted=True)

        return await self._change(caller, request, erase, "deleted")

    async def resolve_comment(self, caller: Caller, request: CommentId) -> CommentReply:
        """Resolves a comment, as its author or with the permission to edit the document; keeps the first resolver."""

        async def resolve(tx: Transaction, stored: StoredComment) -> Comment:
            await self._require_resolver(tx, caller, stored)
            if stored.comment.resolved:
                return stored.comment
            by = caller.identity.account or caller.identity.display_name
            return replace(stored.comment, resolved=True, resolved_by=by, resolved_at=now())

        return await self._change(caller, request, resolve, "resolved")

    async def reopen_comment(self, caller: Caller, request: CommentId) -> CommentReply:
        """Reopens a resolved comment, by the same permission as resolving."""

        async def reopen(tx: Transaction, stored: StoredComment) -> Comment:
            await self._require_resolver(tx, caller, stored)
            return replace(stored.comment, resolved=False, resolved_by=None, resolved_at=None)

        return await self._change(caller, request, reopen, "reopened")

    async def _require_resolver(self, tx: Transaction, caller: Caller, stored: StoredComment) -> None:
        _require_alive(stored.comment)
        if stored.author_key != caller.identity.key:
            space = space_of(stored.comment.document_id)
            await self._policy.require(tx.connection, caller, space, Action.RESOLVE)

    async def _change(self, caller: Caller, request: CommentId, change: Change, action: str) -> CommentReply:
        """Carries a change out once. It locks the comment's row first, the space's counter last."""
        space, named = space_of(request.document_id), dict[str, str]()
        command = Command(caller.identity.key, action, request.id, request.client_message_id or new_id())
        try:
            async with self._log.transaction() as tx:
                await commands.begin(tx.connection, command, request.id)
                await self._policy.require(tx.connection, caller, space, Action.ENTER)
                stored = await repository.lock(tx.connection, request.document_id, request.id)
                after = await change(tx, stored)
                if after != stored.comment:
                    after = replace(after, updated_at=now())
                    await repository.store(tx.connection, after)
                    changed = _changed(action, caller, after)
                    if after.content != stored.comment.content and not after.is_deleted:
                        named = await self._notify(tx, stored.comment.content or "", after)
                    await tx.append(comment_changed, space, caller, lambda _: changed, subject=after.id)
        except AlreadyDone:
            async with self._log.transaction() as tx:
                return await read_comment(tx.connection, self._policy, caller, request)
        self._notifier.notify(_said(after), named)
        return CommentReply(after)


def _require_alive(comment: Comment) -> None:
    if comment.is_deleted:
        raise PresenceError(CONFLICT, "That comment was deleted.")


def _changed(action: str, caller: Caller, comment: Comment) -> CommentChanged:
    return CommentChanged(action, caller.identity.display_name, comment)


def _said(comment: Comment) -> Said:
    space = space_of(comment.document_id)
    return Said(comment.id, comment.seq, space, MAIN, comment.display_name, comment.content or "", of_comment=True)


def _draft(caller: Caller, request: PostComment) -> Comment:
    """Returns the new comment, complete but for its `seq`."""
    moment = now()
    return Comment(
        id=new_id(),
        seq=0,
        document_id=request.document_id,
        user_account=caller.identity.account,
        display_name=caller.identity.display_name,
        comment_type=request.comment_type,
        content=request.content,
        section=request.section,
        position=request.position,
        parent_comment_id=request.parent_comment_id,
        thread_count=0,
        resolved=False,
        resolved_by=None,
        resolved_at=None,
        is_edited=False,
        is_deleted=False,
        created_at=moment,
        updated_at=moment,
        client_message_id=request.client_message_id or new_id(),
    )
