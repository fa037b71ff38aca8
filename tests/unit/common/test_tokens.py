"""Session tokens: signed by one key, believed from no other."""

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common import tokens
from libs.common.errors import SESSION_EXPIRED, UNAUTHORIZED, UNAVAILABLE, ErrorCode, PresenceError
from libs.common.identity import Identity, guest_identity
from libs.common.spaces import SpaceKey
from libs.common.tokens import Admission, Signer, Verifier
from tests.support.edge import jwk
from tests.support.refusals import refusal

ISSUER = "https://vr.example"
ALICE = Identity("account", "alice", "alice", login_id="login-1")
ADMISSION = Admission(SpaceKey("post", "bob/my-post"), "main", "visitor", 3)


def signer(kid: str = "key-1", issuer: str = ISSUER) -> Signer:
    return Signer(issuer, kid, Ed25519PrivateKey.generate())


def verifier(*signers: Signer) -> Verifier:
    keys = {one.kid: jwt.PyJWK(jwk(one)) for one in signers or (OURS,)}

    async def key_of(kid: str) -> jwt.PyJWK:
        return keys[kid]

    return Verifier(ISSUER, key_of)


OURS = signer()


async def refused(encoded: str, kind: ErrorCode = UNAUTHORIZED) -> None:
    with pytest.raises(PresenceError) as raised:
        await verifier().verify(encoded)
    assert raised.value.kind is kind


async def test_a_token_says_who_signed_in_and_with_which_login() -> None:
    encoded, said = OURS.sign(ALICE, 60)
    found = await verifier().verify(encoded)
    assert found == said
    assert (found.identity.account, found.identity.login_id, found.admission) == ("alice", "login-1", None)
    assert found.identity.token_id
    assert not found.identity.operator, "no token makes an operator"


async def test_a_signature_is_checked_once_while_its_key_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    decode = jwt.decode

    def counting(encoded: str, *arguments: Any, **options: Any) -> Any:
        checked.append(encoded)
        return decode(encoded, *arguments, **options)

    monkeypatch.setattr(jwt, "decode", counting)
    keys = {OURS.kid: jwt.PyJWK(jwk(OURS))}

    async def key_of(kid: str) -> jwt.PyJWK:
        return keys[kid]

    ours = Verifier(ISSUER, key_of)
    encoded, said = OURS.sign(ALICE, 60)
    assert [await ours.verify(encoded) for _ in range(3)] == [said] * 3
    assert checked == [encoded]
    keys[OURS.kid] = jwt.PyJWK(jwk(signer()))
    assert await refusal(ours.verify(encoded)) == "unauthorized", "its key is another now"
    keys.clear()
    assert await refusal(ours.verify(encoded)) == "unauthorized", "its key is gone"


async def test_a_token_that_was_checked_runs_out_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = verifier()
    encoded, said = OURS.sign(ALICE, 60)
    await ours.verify(encoded)
    monkeypatch.setattr(time, "time", lambda: float(said.expires_at))
    assert await refusal(ours.verify(encoded)) == "session_expired"


async def test_no_more_tokens_are_remembered_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_KNOWN", 3)
    ours = verifier()
    for _ in range(10):
        await ours.verify(OURS.sign(ALICE, 60)[0])
    assert len(ours._known) == 3


async def test_a_guests_token_names_no_account() -> None:
    encoded, _ = OURS.sign(guest_identity("0192", "Al"), 60)
    identity = (await verifier().verify(encoded)).identity
    assert (identity.account, identity.id, identity.display_name, identity.login_id) == (
        None,
        "0192",
        "Al (guest)",
        None,
    )


async def test_an_admission_carries_its_space_role_and_epoch() -> None:
    encoded, _ = OURS.sign(ALICE, 60, ADMISSION)
    found = await verifier().verify(encoded)
    assert found.admission == ADMISSION
    assert found.identity.login_id == "login-1"


async def test_every_token_has_an_id_of_its_own() -> None:
    assert OURS.sign(ALICE, 60)[1].identity.token_id != OURS.sign(ALICE, 60)[1].identity.token_id


async def test_a_token_that_ran_out_is_session_expired() -> None:
    await refused(OURS.sign(ALICE, -1)[0], SESSION_EXPIRED)


async def test_another_issuers_token_is_refused() -> None:
    await refused(replace(OURS, issuer="https://evil.example").sign(ALICE, 60)[0])


async def test_another_key_under_our_name_is_refused() -> None:
    await refused(signer().sign(ALICE, 60)[0])


def claims(**changes: Any) -> dict[str, Any]:
    issued = int(time.time())
    good = {
        "iss": ISSUER, "sub": "account:alice", "name": "alice", "jti": "1", "iat": issued, "exp": issued + 60,
        "typ": "identity",
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


async def test_alg_none_is_refused() -> None:
    await refused(jwt.encode(claims(), "", "none", headers={"kid": "key-1"}))


@pytest.mark.parametrize("secret", [OURS.key.public_key().public_bytes_raw() * 2, b"x" * 64], ids=["public key", "any"])
async def test_a_shared_secret_even_the_public_key_is_refused(secret: bytes) -> None:
    await refused(jwt.encode(claims(), secret, "HS256", headers={"kid": "key-1"}))


@pytest.mark.parametrize("name", ["iss", "sub", "name", "jti", "iat", "exp", "typ"])
async def test_a_token_without_one_of_its_claims_is_refused(name: str) -> None:
    await refused(jwt.encode(claims(**{name: None}), OURS.key, "EdDSA", headers={"kid": "key-1"}))


@pytest.mark.parametrize("subject", ["service:gateway", "alice", "account:", "operator:x", ""])
async def test_a_token_is_for_an_account_or_a_guest(subject: str) -> None:
    await refused(jwt.encode(claims(sub=subject), OURS.key, "EdDSA", headers={"kid": "key-1"}))


async def test_a_damaged_token_is_refused() -> None:
    head, body, signature = OURS.sign(ALICE, 60)[0].split(".")
    other = OURS.sign(guest_identity("0192"), 60)[0].split(".")[1]
    for encoded in (f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}", f"{body}", "a" * 5000):
        await refused(encoded)


@settings(max_examples=40, deadline=None, database=None)
@given(st.text(max_size=200))
async def test_no_text_does_worse_than_being_refused(text: str) -> None:
    await refused(text)


async def test_a_key_that_nobody_can_look_up_just_now_is_no_bad_token() -> None:
    async def key_of(_: str) -> jwt.PyJWK:
        raise PresenceError(UNAVAILABLE)

    assert await refusal(Verifier(ISSUER, key_of).verify(OURS.sign(ALICE, 60)[0])) == "unavailable"


async def test_a_token_that_names_no_key_is_refused_without_looking_for_one() -> None:
    async def key_of(_: str) -> jwt.PyJWK:
        raise PresenceError(UNAVAILABLE)

    assert await refusal(Verifier(ISSUER, key_of).verify(jwt.encode(claims(), OURS.key, "EdDSA"))) == "unauthorized"


async def test_others_have_their_turn_between_the_tokens_of_a_crowd() -> None:
    checks, turns = verifier(), 0
    crowd = [checks.verify(OURS.sign(ALICE, 60)[0]) for _ in range(20)]
    checked = asyncio.gather(*crowd)
    while not checked.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= len(await checked)


async def verified_at(seconds: float, ttl: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns what becomes of a token on an edge whose clock is so far from the signer's."""
    encoded, _ = OURS.sign(ALICE, ttl)
    ours = time.time() + seconds

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Late":
            return cls.fromtimestamp(ours, tz)

    monkeypatch.setattr("jwt.api_jwt.datetime", Late)
    monkeypatch.setattr("libs.common.tokens.time.time", lambda: ours)
    return await refusal(verifier().verify(encoded))


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(0, "ok"), (-1, "ok"), (-4, "ok"), (-10, "unauthorized"), (59, "ok"), (61, "session_expired")],
)
async def test_a_fresh_token_is_good_where_the_clock_is_a_little_behind_and_no_longer_than_it_says(
    monkeypatch: pytest.MonkeyPatch, seconds: float, outcome: str
) -> None:
    assert await verified_at(seconds, 60, monkeypatch) == outcome
