"""The wallet of dlux.io gets in by its own steps: it makes a challenge, signs it, joins, and dials what it is given."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from tests.support.node import Node
from tests.support.people import Rest
from tests.support.wallet import Wallet

LOBBY = "global:lobby"
WEBSOCKET_ONLY = {"transports": ["websocket"]}


@pytest.mark.parametrize("form", ["body", "header", "seed"])
@pytest.mark.parametrize("space", ["post:alice/my-360-photo", "document:123", LOBBY])
async def test_a_signature_joins_and_its_admission_opens_the_room(
    stack: Stack, wallet: Wallet, space: str, form: str
) -> None:
    joined = await wallet.join(stack.url, "alice", space, form=form)
    assert (joined["status"], joined["success"], joined["subspace"]) == (200, True, "main"), joined
    assert joined["turn_credentials"]["username"].endswith(":alice")
    room = await wallet.enter("alice", joined)
    assert room.received("space-joined")[0]["role"] == joined["role"] != "guest"


def of(account: str | None) -> Callable[[Any], bool]:
    return lambda user: bool(user["userAccount"] == account)


async def test_two_wallets_a_guest_and_a_socket_io_client_see_each_other(
    stack: Stack, rest: Rest, node: Node, wallet: Wallet
) -> None:
    usual = await node.connect("usual", stack.url, {**WEBSOCKET_ONLY, "auth": {"token": await rest.token("carol")}})
    await usual.join("event", "wallets")
    joined = [await wallet.join(stack.url, account, "event:wallets") for account in ("alice", "bob")]
    alice, bob = [await wallet.enter(name, each) for name, each in zip(("alice", "bob"), joined, strict=True)]
    assert {user["userAccount"] for user in bob.received("space-joined")[0]["users"]} == {"alice", "carol"}
    guest = await wallet.enter("guest", {"space": joined[0]["space"], "websocket_url": joined[0]["websocket_url"]})
    assert guest.received("space-joined")[0]["role"] == "guest"
    for client, names in ((alice, {"bob", None}), (usual, {"alice", "bob", None})):
        for name in names:
            await client.wait_for("user-joined", of(name))

    await wallet.say("alice", "dice-rolled", eyes=[6, 6])
    assert (await bob.wait_for("dice-rolled"))["userAccount"] == "alice"
    assert (await usual.wait_for("entity-event"))["data"]["eyes"] == [6, 6]
    await wallet.say("bob", "chat-message", content="from a wallet")
    for listener in (alice, bob, guest, usual):
        assert (await listener.wait_for("chat-message"))["user_account"] == "bob"
    await usual.send("aframe-update", {"position": {"x": 1, "y": 2, "z": 3}})
    assert (await alice.wait_for("aframe-update"))["entityData"]["position"]["x"] == 1
    await wallet.hang_up("bob")
    left = bob.received("connected")[0]["socketId"]
    await alice.wait_for("user-left", lambda user: user["socketId"] == left)
    await usual.wait_for("user-left", lambda user: user["socketId"] == left)


async def refused(join: Any) -> str:
    answer = await join
    assert (answer["status"], answer["code"]) == (401, "unauthorized"), answer
    return str(answer["error"])


async def test_each_refusal_has_its_own_words(stack: Stack, wallet: Wallet) -> None:
    used = await wallet.challenge()
    assert (await wallet.join(stack.url, "alice", LOBBY, challenge=used))["status"] == 200
    words = {
        "used before": wallet.join(stack.url, "alice", LOBBY, challenge=used),
        "older than": wallet.join(stack.url, "alice", LOBBY, challenge=await wallet.challenge(age=121)),
        "in the future": wallet.join(stack.url, "alice", LOBBY, challenge=await wallet.challenge(age=-40)),
        "not signed with alice's posting key": wallet.join(stack.url, "alice", LOBBY, signer="bob"),
        "and nothing more": wallet.join(stack.url, "alice", LOBBY, challenge=f"{await wallet.challenge()}0"),
        "unknown, used or too old": wallet.join(stack.url, "alice", LOBBY, challenge="hello"),
        "Bearer <130 hexadecimal digits>:<account>": wallet.join(stack.url, "alice", LOBBY, form="object"),
    }
    for part, join in words.items():
        assert part in await refused(join), part


async def test_a_signature_opens_one_of_two_spaces_that_are_joined_with_it_at_once(
    stack: Stack, wallet: Wallet
) -> None:
    challenge = await wallet.challenge()
    joins = (wallet.join(stack.url, "alice", space, challenge=challenge) for space in (LOBBY, "document:123"))
    assert sorted([answer["status"] for answer in await asyncio.gather(*joins)]) == [200, 401]


async def test_its_admission_is_for_one_space_and_no_login(stack: Stack, rest: Rest, wallet: Wallet) -> None:
    token = (await wallet.join(stack.url, "alice", LOBBY))["session_token"]
    assert (await rest.get("/api/auth/me", token))["account"] == "alice"
    assert (await rest.ask("GET", "/api/spaces/global/lobby", token=token))[0] == 200
    assert (await rest.ask("POST", "/api/spaces/document/123/join", {}, token))[0] == 403
    status, body, _ = await rest.ask("POST", "/api/spaces/global/lobby/join", {}, token)
    assert status == 403
    assert "sign another challenge" in body["error"], "nor is it renewed"
    for path in ("/api/webhooks", "/api/notifications"):
        assert (await rest.ask("GET", path, token=token))[0] == 403
    private = "/api/spaces?type=document&q=Lighting"
    assert [space["space_id"] for space in (await rest.get(private, await rest.token("alice")))["spaces"]] == ["125"]
    assert (await rest.get(private, token))["spaces"] == []


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/notifications", "/api/spaces/document/123"])
async def test_such_a_signature_opens_nothing_but_a_join(stack: Stack, rest: Rest, wallet: Wallet, path: str) -> None:
    text = await wallet.challenge()
    headers = {"Authorization": f"Bearer {sign_text('alice', text)}:alice", "X-Challenge": text}
    status, body, _ = await rest.ask("GET", path, **headers)
    assert (status, "opens a join, and nothing else" in body["error"]) == (401, True)
