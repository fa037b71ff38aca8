"""Enters into a space's audit trail what the primary changed of its content and of who may see it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from libs.common.contracts.content import document_deleted, permission_changed, post_changed, presence_event_changed
from libs.common.contracts.log import LoggedEvent
from libs.common.db.engine import Database
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation import audit_repository
from services.spaces_auth.moderation.audit_repository import Entry
from services.spaces_auth.moderation.subjects import Subject


class ContentAudit:
    """A consumer of every event; an event that comes again is entered once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on_events(self, events: Sequence[LoggedEvent]) -> None:
        """Stores one entry an event, in one transaction. Raises `unavailable`."""
        entries = [(event, entry) for event in events if (entry := _entry(event))]
        if not entries:
            return
        async with self._database.transaction() as connection:
            for event, entry in entries:
                space = SpaceKey(event.space_type, event.space_id)
                await audit_repository.record_event(connection, space, event.actor, event.id, entry)


def _entry(event: LoggedEvent) -> Entry | None:
    make = _ENTRIES.get(event.name)
    return make(event.payload) if make else None


def _of_post(payload: Mapping[str, Any]) -> Entry:
    return Entry(f"content_{payload['change']}")


def _of_document(payload: Mapping[str, Any]) -> Entry:
    """Of a document that is still there nothing is entered: who edits it is no matter of moderation."""
    return Entry("content_deleted", details={"title": payload["title"]})


def _of_permission(payload: Mapping[str, Any]) -> Entry:
    details = {"permission": payload["permission"], "table": payload["table"]}
    return Entry("content_permission", Subject("account", payload["account"]), details=details)


def _of_presence_event(payload: Mapping[str, Any]) -> Entry:
    return Entry(f"event_{payload['change']}", details={"title": payload["title"]})


_ENTRIES: Mapping[str, Callable[[Mapping[str, Any]], Entry]] = {
    post_changed.name: _of_post,
    document_deleted.name: _of_document,
    permission_changed.name: _of_permission,
    presence_event_changed.name: _of_presence_event,
}
