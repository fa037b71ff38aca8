"""Who may do what, over everything the registry has: role by operation, asked as an edge asks.

An operation without a row fails the test, and so does a row without an operation.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from deploy.local.keys import sign_text
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.clock import now
from libs.common.contracts import auth, chat, content, default_registry, documents, events, moderation, webhooks
from libs.common.contracts.content import SyncStatus
from libs.common.contracts.registry import Access, Operation
from libs.common.edge.commands import require_access
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from libs.common.service import Component
from libs.common.spaces import SpaceKey
from services.chat.app import build as build_chat
from services.chat.settings import Settings as ChatSettings
from services.spaces_auth.app import build as build_spaces_auth
from services.spaces_auth.settings import Settings as SpacesAuthSettings
from services.webhook_dispatcher.app import build as build_dispatcher
from services.webhook_dispatcher.settings import Settings as DispatcherSettings
from tests.integration.common.world import Owner, caller, identity
from tests.support.servers import Servers
from tests.support.settings import defaults

REGISTRY = default_registry()
OPERATIONS = {operation.name: operation for operation in REGISTRY.operations}
OPERATORS = ("olivia",)
ROLES = ("anonymous", "guest", "visitor", "member", "moderator", "owner", "operator", "banned")
PEOPLE = dict(zip(ROLES, ("anonymous", "guest", "dave", "rolf", "mona", "bob", "olivia", "bannie"), strict=True))
HALL, NOTES = SpaceKey("post", "bob/hall"), SpaceKey("document", "200")  # public; the same people are the same in both
SECRET, SAFE = SpaceKey("post", "bob/hidden"), SpaceKey("document", "201")  # which only bob and operators may see
OUTCOMES = {
    ".": "ok", "U": "unauthorized", "F": "forbidden", "B": "banned", "N": "not_found", "-": "internal",
}  # fmt: skip
CONTENT = f"""
INSERT INTO posts (author, permlink, type, row_hash, hidden) VALUES
  ('bob', 'hall', '360', 'x', false), ('bob', 'hidden', '360', 'x', true);
INSERT INTO collaboration_documents (space_id, creator, is_public, comment_permissions, edit_permissions, row_hash)
  VALUES ('200', 'bob', true, 'all', 'all', 'x'), ('201', 'bob', false, 'all', 'all', 'x');
INSERT INTO space_roles (space_type, space_id, account, role, given_by) VALUES
  {", ".join(
      f"('{space.space_type}', '{space.space_id}', '{account}', '{role}', 'bob')"
      for space in (HALL, NOTES) for account, role in (("rolf", "member"), ("mona", "moderator"))
  )};
INSERT INTO space_sanctions (id, space_type, space_id, kind, subject_kind, subject, reason, imposed_by) VALUES
  (gen_random_uuid(), 'post', 'bob/hall', 'ban', 'account', 'bannie', 'why', 'bob'),
  (gen_random_uuid(), 'document', '200', 'ban', 'account', 'bannie', 'why', 'bob');
"""  # fmt: skip


@dataclass
class World:
    bus: MemoryBus
    owner: Owner
    hall: SpaceKey = HALL
    notes: SpaceKey = NOTES
    numbers: Any = field(default_factory=lambda: count(1))

    async def do(self, operation: Operation[Any, Any], who: str | Identity = "carl", **fields: Any) -> Any:
        return await self.bus.call(operation, operation.request(**fields), caller(who))

    @property
    def place(self) -> dict[str, Any]:
        return {"space_type": self.hall.space_type, "space_id": self.hall.space_id}

    @property
    def someone(self) -> dict[str, Any]:
        """A bystander to moderate, another one each time."""
        return {**self.place, "reason": "why", "account": f"target{next(self.numbers)}"}

    async def message(self) -> str:
        """Of one who may write there and is nobody in particular."""
        writer = "carl" if self.hall == HALL else "bob"
        return str((await self.do(chat.post_message, writer, **self.place, content="hello")).message.id)

    async def comment(self) -> dict[str, Any]:
        writer = "carl" if self.notes == NOTES else "bob"
        document = {"document_id": self.notes.space_id}
        made = await self.do(documents.post_comment, writer, **document, content="why?")
        return {**document, "id": made.comment.id}

    async def sanction(self, operation: Operation[Any, Any]) -> dict[str, Any]:
        fields = self.someone
        await self.do(operation, "olivia", **fields)
        return fields

    async def subscription(self, account: str = "carl") -> str:
        hook = {**self.place, "webhook_url": f"http://127.0.0.1:9/{new_id()}", "events": ["chat"]}
        return str((await self.do(webhooks.subscribe, account, **hook)).subscription.id)


type Fields = Callable[[World], Awaitable[dict[str, Any]]]


async def nothing(_: World) -> dict[str, Any]:
    return {}


async def place(world: World) -> dict[str, Any]:
    return world.place


async def someone(world: World) -> dict[str, Any]:
    return world.someone


async def login(world: World) -> dict[str, Any]:
    text = (await world.do(auth.challenge, account="alice")).challenge
    return {"account": "alice", "challenge": text, "signature": sign_text("alice", text)}


async def refresh(world: World) -> dict[str, Any]:
    return {"refresh_token": (await world.do(auth.login, **await login(world))).refresh_token}


async def given_role(world: World) -> dict[str, Any]:
    return {**world.place, "account": f"target{next(world.numbers)}"}


async def message(world: World) -> dict[str, Any]:
    return {"id": await world.message()}


async def read(world: World) -> dict[str, Any]:
    return {**world.place, "message_id": await world.message()}


async def comment(world: World) -> dict[str, Any]:
    return await world.comment()


async def resolved(world: World) -> dict[str, Any]:
    made = await world.comment()
    await world.do(documents.resolve_comment, "bob", **made)
    return made


async def subscription(world: World) -> dict[str, Any]:
    return {"id": await world.subscription()}


async def delivery(world: World) -> dict[str, Any]:
    """One of carl's, to send again."""
    return {"id": (await logged(world))["delivery"]}


async def logged(world: World) -> dict[str, Any]:
    """One of carl's, to look at."""
    subscription = await world.subscription()
    (row,) = await world.owner.sql(
        "INSERT INTO webhook_deliveries"
        " (id, subscription_id, event_id, webhook_id, event, sequence, body, actor, status)"
        f" VALUES (gen_random_uuid(), '{subscription}', gen_random_uuid(), 'msg', 'chat', 1, '{{}}',"
        " 'account:carl', 'dead') RETURNING id"
    )
    return {"id": subscription, "delivery": str(row.id)}


def also(fields: Fields, **more: Any) -> Fields:
    async def both(world: World) -> dict[str, Any]:
        return {**await fields(world), **more}

    return both


async def event(world: World) -> dict[str, Any]:
    """An event of bob's; mona moderates it, and bannie is banned from it."""
    starts = now() + timedelta(minutes=1)
    fields = {"title": "Party", "starts_at": starts, "ends_at": starts + timedelta(hours=1)}
    made = await world.do(events.create_event, "bob", **fields)
    space = {"space_type": "event", "space_id": made.id}
    await world.do(moderation.set_role, "bob", **space, account="mona", role="moderator")
    await world.do(moderation.ban, "bob", **space, account="bannie", reason="why")
    return {"id": made.id}


async def holding(_: World) -> dict[str, Any]:
    return {"title": "Party", "starts_at": now() + timedelta(minutes=1), "ends_at": now() + timedelta(hours=1)}


async def document(world: World) -> dict[str, Any]:
    return {"document_id": world.notes.space_id}


# Operation: what it is asked with, and the outcome for each of ROLES, in their order.
TABLE: dict[str, tuple[Fields, str]] = {
    "auth.challenge": (also(nothing, account="alice"), "........"),
    "auth.login": (login, "........"),
    "auth.prove": (nothing, "--------"),
    "auth.guest": (nothing, "........"),
    "auth.refresh": (refresh, "........"),
    "auth.logout": (nothing, "........"),
    "auth.me": (nothing, "........"),
    "auth.jwks": (nothing, "........"),
    "spaces.list": (nothing, "........"),
    "spaces.get": (place, ".......B"),
    "spaces.list_subrooms": (place, ".......B"),
    "spaces.join": (place, ".......B"),
    "spaces.leave": (place, "........"),
    "spaces.review": (place, "--------"),
    "spaces.resolve_room": (nothing, "--------"),
    "spaces.resolve_document": (nothing, "--------"),
    "spaces.record_presence": (nothing, "--------"),
    "events.list": (nothing, "........"),
    "events.create": (holding, "UU......"),
    "events.get": (event, ".......B"),
    "events.get_calendar": (event, ".......B"),
    "events.change": (also(event, title="Feast"), "UUFF...B"),
    "events.cancel": (event, "UUFF...B"),
    "events.take_place": (event, "UU.....B"),
    "events.give_place_back": (event, "UU.....B"),
    "events.verify_access": (event, ".......B"),
    "moderation.update_settings": (also(place, max_users=500), "UUFF...B"),
    "moderation.list_roles": (place, "UUFFF..B"),
    "moderation.get_role": (also(place, account="rolf"), "UUFFF..B"),
    "moderation.set_role": (also(given_role, role="member"), "UUFFF..B"),
    "moderation.remove_role": (given_role, "UUFFF..B"),
    "moderation.list_bans": (place, "UUFF...B"),
    "moderation.ban": (someone, "UUFF...B"),
    "moderation.unban": (lambda world: world.sanction(moderation.ban), "UUFF...B"),
    "moderation.mute": (someone, "UUFF...B"),
    "moderation.unmute": (lambda world: world.sanction(moderation.mute), "UUFF...B"),
    "moderation.kick": (someone, "UUFF...B"),
    "moderation.list_audit": (place, "UUFF...B"),
    "chat.post_message": (also(place, content="hello"), ".......B"),
    "chat.list_messages": (place, ".......B"),
    "chat.get_message": (message, ".......B"),
    "chat.edit_message": (also(message, content="other words"), "FFFFFFFB"),
    "chat.delete_message": (message, "FFFF...B"),
    "chat.list_thread": (message, ".......B"),
    "chat.message_history": (message, ".......B"),
    "chat.react": (also(message, emoji="👍"), ".......B"),
    "chat.unreact": (also(message, emoji="👍"), ".......B"),
    "chat.snapshot": (place, "--------"),
    "chat.get_subscription": (place, "UU.....B"),
    "chat.set_subscription": (also(place, level="all"), "UU.....B"),
    "chat.mark_read": (read, "UU.....B"),
    "chat.list_notifications": (nothing, "UU......"),
    "chat.read_notifications": (nothing, "UU......"),
    "documents.post_comment": (also(document, content="why?"), "UU.....B"),
    "documents.list_comments": (document, ".......B"),
    "documents.get_comment": (comment, ".......B"),
    "documents.comment_history": (comment, ".......B"),
    "documents.edit_comment": (also(comment, content="other words"), "UUFFFFFB"),
    "documents.delete_comment": (comment, "UUFF...B"),
    "documents.resolve_comment": (comment, "UUFF...B"),
    "documents.reopen_comment": (resolved, "UUFF...B"),
    "voice.turn_credentials": (nothing, "........"),
    "voice.report_connection": (also(place, outcome="failed"), ".......B"),
    "analytics.popular": (place, "UUFFF..B"),
    "analytics.engagement": (place, "UUFFF..B"),
    "analytics.voice": (place, "UUFFF..B"),
    "analytics.documents": (place, "UUFFF..B"),
    "analytics.movement": (place, "UUFFF..B"),
    "webhooks.subscribe": (also(place, webhook_url="http://127.0.0.1:9/", events=["chat"]), "UU.....B"),
    "webhooks.list": (nothing, "UU......"),
    "webhooks.get": (subscription, "UUNNNN.N"),
    "webhooks.unsubscribe": (subscription, "UUNN...N"),
    "webhooks.change": (also(subscription, paused=True), "UUNNNN.N"),
    "webhooks.rotate_secret": (subscription, "UUNNNN.N"),
    "webhooks.test": (subscription, "UUNNNN.N"),
    "webhooks.deliveries": (subscription, "UUNNNN.N"),
    "webhooks.delivery": (logged, "UUNNNN.N"),
    "webhooks.counts": (subscription, "UUNNNN.N"),
    "webhooks.redeliver": (delivery, "UUNNNN.N"),
    "webhooks.redeliver_range": (also(subscription, since=now(), until=now() + timedelta(hours=1)), "UUNNNN.N"),
    "content.get": (place, ".......B"),
    "content.sync_status": (nothing, "UUFFFF.F"),
    "content.sync_now": (nothing, "UUFFFF.F"),
    "content.primary_changed": (nothing, "--------"),
    "log.events_since": (place, "--------"),
    "log.heads": (nothing, "--------"),
}
CELLS = [
    (name, role, OUTCOMES[letter]) for name, (_, row) in TABLE.items() for role, letter in zip(ROLES, row, strict=True)
]
OF_A_SPACE = [
    name
    for name, (fields, row) in TABLE.items()
    if "-" not in row and fields not in (nothing, login, refresh, holding)
    and name not in ("auth.challenge", "spaces.leave") and not name.startswith("events.")
    and (not name.startswith("webhooks.") or name == "webhooks.subscribe")
]  # fmt: skip


@pytest.fixture(scope="module")
async def world(servers: Servers) -> AsyncIterator[World]:
    """Three services on one memory bus; sync_worker's answers are stand-ins, since the edge alone decides there."""
    database_url, redis_url = await servers.new_database(), servers.new_redis_database()
    broker, owner = MemoryBroker(), Owner(database_url)
    for statement in filter(str.strip, CONTENT.split(";")):
        await owner.sql(statement)
    stores: dict[str, Any] = {"database_url": database_url, "operators": OPERATORS, "database_pool": 4}
    dispatcher = defaults(
        DispatcherSettings, **stores, webhook_allowed_networks=("127.0.0.0/8",), webhook_subscriptions=10_000
    )
    auth_settings = defaults(
        SpacesAuthSettings,
        **stores,
        redis_url=redis_url,
        hive_nodes=(servers.hive_url,),
        events_per_account=10_000,
    )
    services = [
        build_spaces_auth(auth_settings, MemoryBus(broker)),
        build_chat(defaults(ChatSettings, **stores, redis_url=redis_url), MemoryBus(broker), filters=()),
        build_dispatcher(dispatcher, MemoryBus(broker)),
    ]
    worker = MemoryBus(broker)

    async def status(_: Caller, __: Any) -> SyncStatus:
        return SyncStatus(True, [])

    worker.serve(content.sync_status, status)
    worker.serve(content.sync_now, status)
    components: list[Component] = [*services, worker]
    async with contextlib.AsyncExitStack() as running:
        for service in components:
            await service.start()
            running.push_async_callback(service.stop)
        yield World(MemoryBus(broker), owner)
    await owner.database.stop()


async def outcome(world: World, operation: Operation[Any, Any], fields: dict[str, Any], who: Identity) -> str:
    """What an edge answers: it demands what `access` says, and passes on."""
    if operation.access is Access.INTERNAL:
        return "internal"
    try:
        require_access(operation.access, who)
        await world.bus.call(operation, operation.request(**fields), caller(who))
    except PresenceError as error:
        return error.kind.code
    return "ok"


def person(role: str) -> Identity:
    found = identity(PEOPLE[role])
    return Identity(found.kind, found.id, found.id, found.id in OPERATORS, found.token_id)


def test_every_operation_has_a_row_and_every_row_an_operation() -> None:
    assert set(TABLE) == set(OPERATIONS)


@pytest.mark.parametrize(("name", "role", "expected"), CELLS, ids=[f"{name} by {role}" for name, role, _ in CELLS])
async def test_an_operation_is_for_the_roles_that_its_row_names(
    world: World, name: str, role: str, expected: str
) -> None:
    fields = await TABLE[name][0](world) if expected != "internal" else {}
    assert await outcome(world, OPERATIONS[name], fields, person(role)) == expected


@pytest.mark.parametrize("name", OF_A_SPACE)
@pytest.mark.parametrize("who", ["guest", "dave"])
async def test_a_space_that_one_may_not_see_answers_as_if_it_did_not_exist(world: World, name: str, who: str) -> None:
    hidden = World(world.bus, world.owner, SECRET, SAFE, world.numbers)
    try:
        fields = await TABLE[name][0](hidden)
    except PresenceError as error:  # nobody may, not even who prepares it
        pytest.fail(f"{name}: {error}")
    asked = identity(who)
    expected = "unauthorized" if asked.guest and OPERATIONS[name].access is Access.ACCOUNT else "not_found"
    assert await outcome(world, OPERATIONS[name], fields, asked) == expected


async def test_the_operator_token_may_do_what_needs_no_account(world: World) -> None:
    token = Identity("service", "operator", "operator", operator=True)
    for name in ("content.sync_status", "moderation.ban", "moderation.update_settings", "spaces.get"):
        assert await outcome(world, OPERATIONS[name], await TABLE[name][0](world), token) == "ok", name
