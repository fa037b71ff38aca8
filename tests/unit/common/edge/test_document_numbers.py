"""The number of a document is put in its name's place, once for many requests, and for nobody's harm."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBroker, MemoryBus
from libs.common.contracts import spaces
from libs.common.contracts.documents import ListComments
from libs.common.contracts.spaces import GetSpace, ResolvedDocument, ResolveDocument
from libs.common.edge.document_numbers import KNOWN_SECONDS, DocumentNumbers
from libs.common.errors import UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey

CALLER = Caller(Identity("account", "alice", "alice"), "request-1")


class Answering:
    """spaces_auth, which knows one document by number; `asked` are its questions."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.away = False
        self.now = 1000.0
        broker = MemoryBroker()
        self.buses = MemoryBus(broker), MemoryBus(broker)
        self.buses[0].serve(spaces.resolve_document, self._answer)
        self.numbers = DocumentNumbers(self.buses[1], lambda: self.now)

    async def _answer(self, _: Caller, request: ResolveDocument) -> ResolvedDocument:
        self.asked.append(request.number)
        if self.away:
            raise PresenceError(UNAVAILABLE)
        return ResolvedDocument("bob/draft" if request.number == 31 else None)

    async def name(self, space_id: str) -> str:
        return (await self.numbers.key(SpaceKey("document", space_id), CALLER)).space_id


@pytest.fixture
async def answering() -> AsyncIterator[Answering]:
    answering = Answering()
    for bus in answering.buses:
        await bus.start()
    yield answering
    for bus in answering.buses:
        await bus.stop()


async def test_a_number_is_asked_for_once_and_again_when_the_answer_is_old(answering: Answering) -> None:
    assert [await answering.name("31") for _ in range(3)] == ["bob/draft"] * 3
    answering.now += KNOWN_SECONDS
    await answering.name("31")

    assert answering.asked == [31, 31]


async def test_a_document_that_is_named_by_its_number_keeps_it(answering: Answering) -> None:
    assert await answering.name("123") == "123"


@pytest.mark.parametrize("space_id", ["bob/31", "031", "0", "31x", "٣١", "9" * 19])
async def test_what_is_no_number_is_not_asked_for(answering: Answering, space_id: str) -> None:
    assert await answering.name(space_id) == space_id
    assert answering.asked == []


@pytest.mark.parametrize(
    ("request_type", "given", "expected"),
    [
        (GetSpace, {"space_type": "document", "space_id": "31"}, {"space_type": "document", "space_id": "bob/draft"}),
        (GetSpace, {"space_type": "event", "space_id": "31"}, {"space_type": "event", "space_id": "31"}),
        (GetSpace, {"space_type": "document", "space_id": 31}, {"space_type": "document", "space_id": 31}),
        (ListComments, {"document_id": "31"}, {"document_id": "bob/draft"}),
        (ListComments, {}, {}),
    ],
)
async def test_fields_that_name_a_document_get_its_name_and_others_stay(
    answering: Answering, request_type: type, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert await answering.numbers.fields(request_type, given, CALLER) == expected


async def test_while_spaces_auth_is_away_what_was_known_holds_and_a_number_is_taken_as_a_name(
    answering: Answering,
) -> None:
    await answering.name("31")
    answering.away = True
    answering.now += KNOWN_SECONDS

    assert [await answering.name(number) for number in ("31", "123", "123")] == ["bob/draft", "123", "123"]
    assert answering.asked == [31, 31, 123], "nobody waits for it again and again"
