"""The door of guests: an id costs nothing, so what is done to one guest holds for the others of its address.

With real clients on the running stack, which all come from one address; each test has an event of its own.
"""

import pytest

from deploy.local.stack import Stack
from tests.support.halls import fresh
from tests.support.node import Client, Node
from tests.support.people import OPERATOR, Rest


@pytest.fixture
def hall() -> str:
    return fresh()


async def enter(stack: Stack, node: Node, hall: str, replica: str, name: str, token: str | None) -> Client:
    auth = {"token": token} if token else {}
    client = await node.connect_to(replica, f"{name} in {hall}", stack.url, {"transports": ["websocket"], "auth": auth})
    await client.join("event", hall)
    return client


async def test_a_guests_ban_takes_the_other_guests_of_its_address_out_and_keeps_new_ones_out(
    stack: Stack, node: Node, rest: Rest, hall: str
) -> None:
    loud = await enter(stack, node, hall, "r1", "loud", None)
    beside = await enter(stack, node, hall, "r2", "beside", (await rest.post("/api/auth/guest", {}))["token"])
    carol = await enter(stack, node, hall, "r2", "carol", await rest.token("carol"))
    await rest.post(f"/api/spaces/event/{hall}/bans", {"reason": "loud", "socket_id": loud.sid}, OPERATOR)
    for client in (loud, beside):
        await client.wait_for("kicked", lambda told: told["code"] == "banned")
    assert (await carol.emit("chat-message", {"content": "still here"}))["ok"]
    for token in (None, (await rest.post("/api/auth/guest", {}))["token"]):
        status, answer, _ = await rest.ask("POST", f"/api/spaces/event/{hall}/join", {}, token)
        assert (status, answer["code"]) == (403, "banned")
        status, answer, _ = await rest.ask("POST", f"/api/chat/event/{hall}/messages", {"content": "hello"}, token)
        assert (status, answer["code"]) == (403, "banned")


async def test_slow_mode_binds_who_shows_no_token_or_another_one_each_time(
    stack: Stack, node: Node, rest: Rest, hall: str
) -> None:
    status, answer, _ = await rest.ask(
        "PATCH", f"/api/spaces/event/{hall}/settings", {"slow_mode_seconds": 60}, OPERATOR
    )
    assert status == 200, answer
    said = f"/api/chat/event/{hall}/messages"
    assert (await rest.ask("POST", said, {"content": "one"}))[0] == 201
    for token in (None, (await rest.post("/api/auth/guest", {}))["token"]):
        status, answer, _ = await rest.ask("POST", said, {"content": "two"}, token)
        assert (status, answer["code"]) == (429, "slow_mode")
    client = await enter(stack, node, hall, "r1", "another", None)
    assert (await client.emit("chat-message", {"content": "three"}))["code"] == "slow_mode"
