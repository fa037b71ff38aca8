"""Front ends of DLUX send a signed challenge in the place of a token."""

from typing import Any
from urllib.parse import quote

import pytest

from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBus
from libs.common.contracts import auth
from libs.common.contracts.auth import Prove, Proven
from libs.common.errors import UNAUTHORIZED, PresenceError
from libs.common.identity import Identity
from tests.integration.gateway.world import Answer, World, is_error

SIGNATURE = "1f" + "a1" * 64
TEXT = "Sign in to here as @alice.\nnonce: 1"
JOIN = "/api/spaces/global/lobby/join"


@pytest.fixture
async def proofs(world: World) -> list[Prove]:
    """The proofs that spaces_auth was asked for; it accepts the text above once, for alice."""
    asked: list[Prove] = []

    async def prove(_: Caller, request: Prove) -> Proven:
        asked.append(request)
        if request.challenge != TEXT or request.account not in (None, "alice"):
            raise PresenceError(UNAUTHORIZED, "The challenge is unknown.")
        return Proven(world.signer.sign(Identity("account", "alice", "alice"), 60)[0])

    services = MemoryBus(world.broker)
    services.serve(auth.prove, prove)
    await services.start()
    return asked


@pytest.mark.parametrize("account", [":alice", ""])
async def test_a_signature_and_the_bodys_challenge_are_their_account(
    world: World, proofs: list[Prove], account: str
) -> None:
    headers = {"Authorization": f"Bearer {SIGNATURE}{account}"}
    await world.ask("POST", JOIN, {"challenge": TEXT}, headers=headers)
    assert world.caller.identity.account == "alice"
    assert proofs == [Prove(TEXT, SIGNATURE, account[1:] or None, joins=True)]


async def test_headers_of_their_own_are_the_same(world: World, proofs: list[Prove]) -> None:
    headers = {"X-Account": "alice", "X-Challenge": quote(TEXT), "X-Signature": SIGNATURE, "X-Pubkey": "STM1"}
    await world.ask("GET", "/api/spaces", headers=headers)
    assert world.caller.identity.account == "alice"
    await world.ask("GET", "/api/spaces", headers={**headers, **world.bearer("bob")})
    assert world.caller.identity.account == "bob", "a token is enough"
    assert len(proofs) == 1


async def test_a_signature_of_nothing_or_of_another_is_401_with_a_hint(world: World, proofs: list[Prove]) -> None:
    bearer = {"Authorization": f"Bearer {SIGNATURE}:alice"}
    for body in ({}, {"challenge": 5}, {"challenge": ""}):
        answer = await world.ask("POST", JOIN, body, headers=bearer)
        assert is_error(answer, 401, "unauthorized")
        assert "/api/auth/challenge" in answer.body["error"]
    assert proofs == []
    mallory = {"Authorization": f"Bearer {SIGNATURE}:mallory"}
    assert is_error(await world.ask("POST", JOIN, {"challenge": TEXT}, headers=mallory), 401, "unauthorized")
    short = {"Authorization": f"Bearer {SIGNATURE[:-2]}:alice"}
    assert is_error(await world.ask("POST", JOIN, {"challenge": TEXT}, headers=short), 401, "unauthorized")
    named_only = {"X-Account": "alice", "X-Challenge": quote(TEXT)}
    await world.ask("GET", "/api/spaces", headers=named_only)
    assert world.caller.identity.guest, "without a signature one is a guest"


@pytest.mark.parametrize("header", [{}, {"X-Challenge": quote(TEXT)}], ids=["body", "header"])
async def test_the_account_may_stand_in_a_header_of_its_own(
    world: World, proofs: list[Prove], header: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {SIGNATURE}", "X-Account": "alice", **header}
    await world.ask("POST", JOIN, {"subspace": "main"} | ({} if header else {"challenge": TEXT}), headers=headers)
    assert proofs == [Prove(TEXT, SIGNATURE, "alice", joins=True)]


async def test_a_proof_says_whether_it_is_for_a_join(world: World, proofs: list[Prove]) -> None:
    headers = {"Authorization": f"Bearer {SIGNATURE}:alice", "X-Challenge": quote(TEXT)}
    for path in ("/api/spaces", "/api/spaces/global/lobby", "/api/auth/me"):
        await world.ask("GET", path, headers=headers)
    await world.ask("POST", "/api/chat/global/lobby/messages", {"content": "Hi"}, headers=headers)
    assert [proof.joins for proof in proofs] == [False] * 4


@pytest.mark.parametrize(
    "sent",
    [
        f'{{"signature": "{SIGNATURE}", "pubKey": "STM1"}}',
        "[object Object]",
        f'"{SIGNATURE}"',
        f"0x{SIGNATURE}:alice",
        f"{SIGNATURE}00:alice",
        SIGNATURE[2:],
        "SIG_K1_KeEyRoGbYvR",
    ],
)
async def test_a_signature_in_another_shape_is_told_how_one_is_sent(
    world: World, proofs: list[Prove], sent: str
) -> None:
    for headers in ({"Authorization": f"Bearer {sent}"}, {"Authorization": sent}):
        answer = await world.ask("POST", JOIN, {"challenge": TEXT}, headers=headers)
        assert is_error(answer, 401, "unauthorized")
        assert "Bearer <130 hexadecimal digits>:<account>" in answer.body["error"]
    assert proofs == []


async def test_a_signature_where_it_is_not_looked_for_makes_nobody_a_guest_unawares(
    world: World, proofs: list[Prove]
) -> None:
    bodies: list[Any] = [{"signature": SIGNATURE, "pubKey": "STM1"}, {"signature": {"signature": SIGNATURE}}]
    for body in bodies:
        answer = await world.ask("POST", JOIN, {**body, "challenge": TEXT, "account": "alice"})
        assert is_error(answer, 401, "unauthorized")
        assert "Bearer <130 hexadecimal digits>:<account>" in answer.body["error"]
    assert (proofs, world.asked) == ([], [])
    await world.ask("POST", JOIN, bodies[0], headers=world.bearer("bob"))
    assert world.caller.identity.account == "bob", "who shows a token needs none"


async def test_trying_is_limited_as_logging_in_is(world: World, proofs: list[Prove]) -> None:
    """By account where the proof names it, by address in any case."""
    limit = auth.login.limit
    assert limit.per_account

    async def tries(account: str, times: int) -> list[Answer]:
        bearer = {"Authorization": f"Bearer {SIGNATURE}{account}"}
        return [await world.ask("POST", JOIN, {"challenge": "another"}, headers=bearer) for _ in range(times)]

    answers = await tries(":mallory", limit.per_account + 5)
    assert [answer.status for answer in answers].count(401) == len(proofs) == limit.per_account
    assert is_error(answers[-1], 429, "rate_limited")
    assert (await tries(":mia", 1))[0].status == 401
    answers = await tries("", limit.calls)
    assert len(proofs) == limit.calls - 5, "those over an account's limit count as well"
    assert is_error(answers[-1], 429, "rate_limited")
    assert "retry_after" in answers[-1].body["details"]
