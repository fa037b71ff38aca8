"""The door of a space: what one stranger can have the others take, and the servers keep, has a bound and is told.

Over real sockets, on a replica with the limits that strangers meet; each test has an event of its own.
"""

import asyncio
import json
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from deploy.local.stack import Stack
from services.realtime.space.entities import MAX_OWNED
from services.realtime.space.event_feed import MOST_REPLAYED
from services.realtime.space.held_space import MOST_SUBSPACES_OF_ADDRESS
from tests.support.halls import fresh
from tests.support.people import OPERATOR, Rest
from tests.support.whole import Replica
from tests.support.wire import WebSocket


@pytest.fixture
def hall() -> str:
    return fresh()


async def ask(client: WebSocket, event: str, payload: dict[str, Any]) -> Any:
    """Returns the ack."""
    return await client.ask(f"427{json.dumps([event, payload])}", "437")


async def join(client: WebSocket, hall: str, **more: Any) -> Any:
    """Returns the ack; joins are five a second."""
    answer = await ask(client, "join-space", {"spaceType": "event", "spaceId": hall, **more})
    await asyncio.sleep(0.21)
    return answer


async def sql(stack: Stack, statement: str, *values: Any) -> None:
    connection = await asyncpg.connect(stack.settings["PRESENCE_DATABASE_URL"])
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def test_who_asks_for_a_whole_log_gets_a_gap_and_the_snapshot(
    stack: Stack, rest: Rest, stranger: WebSocket, hall: str
) -> None:
    await rest.post(f"/api/chat/event/{hall}/messages", {"content": "hello"})
    more = MOST_REPLAYED + 1
    await sql(stack, "UPDATE space_counters SET seq = seq + $1 WHERE space_id = $2", more, hall)
    answer = await join(stranger, hall, after_seq=0)
    assert (answer["ok"], answer["gap"], answer["counts"]["messages"]) == (True, True, 1)


async def test_the_ack_of_a_join_says_how_much_there_is_and_carries_none_of_it(
    stranger: WebSocket, bystander: WebSocket, hall: str
) -> None:
    await join(stranger, hall)
    await ask(stranger, "entity-event", {"name": "spawn", "data": {"id": "ball", "text": "x" * 4000}})
    answer = await join(bystander, hall)
    assert answer["counts"] == {"users": 1, "entities": 1, "messages": 0}
    assert len(json.dumps(answer)) < 200


async def test_a_socket_spawns_so_many_entities_and_no_more(stranger: WebSocket, hall: str) -> None:
    await join(stranger, hall)
    codes = []
    for number in range(MAX_OWNED + 1):
        answer = await ask(stranger, "entity-event", {"name": "spawn", "data": {"id": f"e{number}"}})
        codes.append(answer.get("code", "ok"))
        await asyncio.sleep(0.02)  # a hundred signals a second
    assert codes == ["ok"] * MAX_OWNED + ["conflict"]


async def test_nobody_removes_anothers_entity(stranger: WebSocket, bystander: WebSocket, hall: str) -> None:
    await join(bystander, hall)
    await join(stranger, hall)
    assert (await ask(bystander, "entity-event", {"name": "spawn", "data": {"id": "sculpture"}}))["ok"]
    for name in ("remove", "spawn"):
        answer = await ask(stranger, "entity-event", {"name": name, "data": {"id": "sculpture"}})
        assert answer["code"] in ("forbidden", "conflict")


async def test_an_address_holds_so_many_subspaces_open_and_no_more(replica: Replica, hall: str) -> None:
    sockets = [WebSocket(replica.url) for _ in range(MOST_SUBSPACES_OF_ADDRESS + 1)]
    codes = []
    try:
        for number, client in enumerate(sockets):
            await client.__aenter__()
            await client.connect()
            codes.append((await join(client, hall, subspace=f"room-{number}")).get("code", "ok"))
    finally:
        await asyncio.gather(*(client.__aexit__() for client in sockets), return_exceptions=True)
    assert codes == ["ok"] * MOST_SUBSPACES_OF_ADDRESS + ["rate_limited"]


async def test_asking_for_what_does_not_exist_leaves_no_key(
    stack: Stack, rest: Rest, stranger: WebSocket, hall: str
) -> None:
    named = {"spaceType": "post", "spaceId": f"nobody/{hall}"}
    assert (await ask(stranger, "join-space", named))["code"] == "not_found"
    assert (await rest.ask("POST", f"/api/spaces/post/nobody/{hall}/join", {}))[0] == 404
    async with Redis.from_url(stack.settings["PRESENCE_REDIS_URL"]) as redis:
        assert [key async for key in redis.scan_iter(f"*{hall}*")] == []


async def test_who_says_more_than_others_can_take_is_told_and_they_stay(
    stranger: WebSocket, bystander: WebSocket, hall: str
) -> None:
    await join(bystander, hall)
    await join(stranger, hall)
    codes = set()
    for _ in range(40):  # of 60 KB: more than a socket may relay at once
        answer = await ask(stranger, "entity-event", {"name": "shout", "data": "x" * 60_000})
        codes.add(answer.get("code", "ok"))
    assert codes == {"ok", "rate_limited"}
    assert (await ask(bystander, "time", {}))["ok"], "who has read nothing meanwhile is still there"


async def test_slow_mode_paces_strangers_of_one_address_together(rest: Rest, hall: str) -> None:
    settings = {"slow_mode_seconds": 60}
    assert (await rest.ask("PATCH", f"/api/spaces/event/{hall}/settings", settings, OPERATOR))[0] == 200
    path, tokens = f"/api/chat/event/{hall}/messages", [None, None, (await rest.post("/api/auth/guest", {}))["token"]]
    answers = [await rest.ask("POST", path, {"content": f"say {n}"}, token) for n, token in enumerate(tokens)]
    assert [status for status, _, _ in answers] == [201, 429, 429]
    assert {body["code"] for _, body, _ in answers[1:]} == {"slow_mode"}
