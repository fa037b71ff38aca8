"""What the primary changed is in the audit trail of the space that it was about."""

from typing import Any

from libs.common.bus.base import Caller
from libs.common.contracts import moderation
from libs.common.contracts.content import (
    DocumentChanged,
    DocumentDeleted,
    PermissionChanged,
    PostChanged,
    PresenceEventChanged,
    document_changed,
    document_deleted,
    permission_changed,
    post_changed,
    presence_event_changed,
)
from libs.common.contracts.moderation import AuditEntry, AuditTrail, ListAudit
from libs.common.contracts.registry import Event
from libs.common.db.event_log import FactLog
from libs.common.identity import service_identity
from libs.common.spaces import SpaceKey
from tests.integration.spaces_auth.world import World
from tests.support.waiting import eventually

POST, DOCUMENT = SpaceKey("post", "alice/my-360-photo"), SpaceKey("document", "124")
WORKER = Caller(service_identity("sync_worker"), "cycle")


async def tell(world: World, event: Event[Any], space: SpaceKey, payload: Any, times: int = 1) -> None:
    """Appends a fact to the log, and delivers it so many times."""
    async with FactLog(world.owner.database).transaction() as transaction:
        logged = await transaction.append(event, space, WORKER, lambda _: payload)
    for _ in range(times):
        await world.bus.publish(logged)


async def trail(world: World, space: SpaceKey, who: str, entries: int) -> list[AuditEntry]:
    async def are_there() -> AuditTrail | None:
        page = await world.call(moderation.list_audit, ListAudit(space.space_type, space.space_id), who)
        return page if len(page.entries) >= entries else None

    found: AuditTrail = await eventually(are_there)
    return found.entries


async def test_a_hidden_post_and_a_permission_are_in_the_audit_trail_once(world: World) -> None:
    await tell(world, post_changed, POST, PostChanged("alice", "my-360-photo", "hidden"), times=2)
    await tell(world, permission_changed, POST, PermissionChanged("dave", "moderate", "presence_permissions"))

    newest, oldest = await trail(world, POST, "alice", 2)

    assert (oldest.action, oldest.actor, oldest.subject) == ("content_hidden", "service:sync_worker", None)
    assert (newest.action, newest.subject) == ("content_permission", "dave")
    assert newest.details == {"permission": "moderate", "table": "presence_permissions"}


async def test_a_document_is_in_the_audit_trail_when_it_goes_and_not_when_it_is_edited(world: World) -> None:
    await tell(world, document_changed, DOCUMENT, DocumentChanged("Public notes", None, True))
    await tell(world, document_deleted, DOCUMENT, DocumentDeleted("Public notes", "bob", True, None))

    entries = await trail(world, DOCUMENT, "bob", 1)

    assert [(entry.action, entry.details) for entry in entries] == [("content_deleted", {"title": "Public notes"})]


async def test_an_event_of_the_primary_is_in_the_audit_trail_when_it_is_cancelled(world: World) -> None:
    event = SpaceKey("event", "summit")
    await world.owner.sql(
        "INSERT INTO presence_events (code, title, description, host, co_hosts, access, starts_at, ends_at, doors_at,"
        " closes_at, cancelled, row_hash) VALUES ('summit', 'Summit', '', 'alice', '{}', 'open', now(),"
        " now() + interval '1 h', now(), now() + interval '2 h', false, '')"
    )
    await tell(world, presence_event_changed, event, PresenceEventChanged("Summit", "cancelled"))

    (entry,) = await trail(world, event, "alice", 1)

    assert (entry.action, entry.actor) == ("event_cancelled", "service:sync_worker")
    assert entry.details == {"title": "Summit"}
