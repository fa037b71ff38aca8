"""What is shared: operations that say so, of which nothing is anybody's own; and how much of it is kept, how long."""

import asyncio
from typing import Any, cast

import pytest

from libs.common.bus.base import Bus, Caller, Written
from libs.common.contracts import default_registry
from libs.common.contracts.registry import Access, Http, Operation, Shared
from libs.common.contracts.schema import load, schema_for
from libs.common.errors import BANNED, UNAVAILABLE, ErrorCode, PresenceError
from libs.common.identity import Identity, guest_identity
from services.gateway.shared import kept
from services.gateway.shared.answers import SharedAnswers
from services.gateway.shared.hearing import Hearing
from services.gateway.shared.kept import Kept

REGISTRY = default_registry()
OPERATIONS = list(REGISTRY.operations)
SHARED = {operation.name: operation for operation in OPERATIONS if operation.shared}
NOBODY = Caller(guest_identity("0192e4a0-7c1e-7000-8000-000000000000"), "request-1")
ALICE = Caller(Identity("account", "alice", "alice", token_id="t"), "request-1")
GUEST = Caller(guest_identity("0192e4a0-7c1e-7000-8000-000000000000", "Gwen", "t"), "request-1")
PUBLIC = {"spaces.list", "spaces.get", "spaces.list_subrooms", "content.get", "chat.list_messages"}
OF_ONE_PERSON = {"session_token", "token", "refresh_token", "unread", "level", "secret", "password", "turn_credentials"}


class Counting:
    """A bus that answers everything, for all, and each time another thing; or fails with `error`."""

    def __init__(self, error: ErrorCode | None = None) -> None:
        self.asked = 0
        self.error = error
        self.answering = asyncio.Event()
        self.answering.set()

    async def call_for_json(self, *_: Any) -> Written:
        self.asked += 1
        await self.answering.wait()
        if self.error:
            raise PresenceError(self.error)
        return Written(b'{"answer": %d}' % self.asked, for_all=True)


class Heard:
    hears = True


def sharing(bus: Counting) -> SharedAnswers:
    return SharedAnswers(cast("Bus", bus), cast("Hearing", Heard()), Kept(10, 1_000_000))


def request_of(operation: Operation[Any, Any]) -> Any:
    """A request with as little in it as it may have, where that names a space at most."""
    named = {"space_type": "post", "space_id": "bob/hall", "document_id": "7"}
    needed = {name for name, field in schema_for(operation.request).fields.items() if field.required}
    return load(operation.request, {name: named[name] for name in needed}) if needed <= set(named) else object()


@pytest.fixture(autouse=True)
def _long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LONGEST", 600.0)


def test_only_what_everybody_may_read_is_shared() -> None:
    assert set(SHARED) == PUBLIC, "of each more, say why nothing in it is anybody's own"
    for operation in SHARED.values():
        assert operation.access is Access.ANYONE
        assert not operation.writes
        assert all(isinstance(b, Http) and b.method == "GET" and not b.media_type for b in operation.bindings)
        assert not OF_ONE_PERSON & set(schema_for(operation.reply).fields)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@pytest.mark.parametrize("caller", [NOBODY, ALICE, GUEST], ids=["nobody", "account", "guest with a token"])
async def test_an_answer_is_given_again_only_where_its_operation_says_so_and_to_nobody_with_a_token(
    operation: Operation[Any, Any], caller: Caller
) -> None:
    bus = Counting()
    answers, request = sharing(bus), request_of(operation)
    for who in (NOBODY, caller, caller):
        await answers.ask(operation, request, who)
    assert bus.asked == (1 if operation.shared and caller is NOBODY else 3)


@pytest.mark.parametrize(("error", "asked"), [(UNAVAILABLE, 1), (BANNED, 3)])
async def test_who_waits_is_refused_with_the_first_only_where_all_would_be(error: ErrorCode, asked: int) -> None:
    bus = Counting(error)
    bus.answering.clear()
    answers, operation = sharing(bus), SHARED["chat.list_messages"]
    asking = [asyncio.create_task(answers.ask(operation, request_of(operation), NOBODY)) for _ in range(3)]
    await asyncio.sleep(0)
    bus.answering.set()
    for refused in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(refused, PresenceError)
    assert bus.asked == asked


async def test_who_asked_first_and_left_takes_nobodys_answer_along() -> None:
    bus = Counting()
    bus.answering.clear()
    answers, operation = sharing(bus), SHARED["spaces.get"]
    first, second = (asyncio.create_task(answers.ask(operation, request_of(operation), NOBODY)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    bus.answering.set()
    assert (await second).json == b'{"answer": 1}'


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def answered(json: bytes) -> Written:
    return Written(json, for_all=True)


async def put(store: Kept, name: str, size: int = 10, space: str = "") -> None:
    task = asyncio.create_task(answered(b"x" * size))
    store.put(("test", name), space, Shared(("chat.",)), task)
    await task
    await asyncio.sleep(0)


async def test_nothing_is_given_after_its_time_and_room_is_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LONGEST", 1.0)
    clock = Clock()
    store = Kept(10, 1000, clock)
    await put(store, "old")
    clock.now = 0.9
    assert store.get(("test", "old"))
    clock.now = 1.0
    assert store.get(("test", "old")) is None
    await put(store, "new")
    assert (len(store), store.size) == (1, 10)


async def test_a_gateway_keeps_no_more_answers_and_bytes_than_it_may() -> None:
    store = Kept(3, 100)
    for name in "abcde":
        await put(store, name)
    assert (len(store), store.size) == (3, 30)
    assert store.get(("test", "b")) is None
    await put(store, "large", 95)
    assert store.size == 95
    await put(store, "too large", 101)
    assert (len(store), store.size) == (0, 0)


async def test_what_happened_in_a_space_ends_what_is_about_it_and_about_none() -> None:
    store = Kept(10, 1000)
    for name, space in (("here", "post:a/b"), ("there", "post:c/d"), ("list", "")):
        await put(store, name, space=space)
    store.end("spaces.member_joined", "post:a/b")
    assert len(store) == 3
    store.end("chat.message_posted", "post:a/b")
    assert store.get(("test", "there"))
    assert len(store) == 1
    store.end("access", "post:c/d")
    assert (len(store), store.size) == (0, 0)
