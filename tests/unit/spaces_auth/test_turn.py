"""TURN credentials as coturn checks them."""

import base64
import hashlib
import hmac
import time

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.schema.writing import dump
from libs.common.identity import Identity, guest_identity
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.settings import Settings
from tests.support.settings import defaults

ALICE = Caller(Identity("account", "alice", "alice", token_id="token-1"), "r", "203.0.113.9")
KEY = base64.b64encode(bytes(32)).decode()


def turn(secret: str = "shared") -> TurnHandlers:
    return TurnHandlers(
        defaults(Settings, secret_key=KEY, turn_secret=secret, turn_seconds=3000, guest_turn_seconds=300)
    )


def test_the_credential_is_the_drafts_hmac_over_expiry_and_account() -> None:
    before = int(time.time())
    made = turn().issue(ALICE)
    assert made.username
    expiry, _, account = made.username.partition(":")
    assert account == "alice"
    assert before + 3000 <= int(expiry) <= int(time.time()) + 3000
    digest = hmac.new(b"shared", made.username.encode(), hashlib.sha1).digest()
    assert made.credential == made.password == base64.b64encode(digest).decode()
    assert made.ttl == 3000


def test_ice_servers_are_what_a_peer_connection_takes() -> None:
    made = turn().issue(ALICE)
    stun, relay = dump(made)["iceServers"]
    assert all(uri.startswith("stun:") for uri in stun["urls"])
    assert all(uri.startswith("turn:") for uri in relay["urls"])
    assert (relay["username"], relay["credential"]) == (made.username, made.credential)
    assert made.uris == [*stun["urls"], *relay["urls"]]


async def test_a_caller_without_a_token_gets_stun_only() -> None:
    made = await turn().credentials(Caller(guest_identity("0192"), "r"), Empty())
    assert (made.username, made.credential, made.password) == (None, None, None)
    assert made.uris
    assert all(uri.startswith("stun:") for uri in made.uris)


def name_of(guest_id: str, address: str) -> str:
    made = turn().issue(Caller(guest_identity(guest_id, token_id=f"token-{guest_id}"), "r", address))
    assert made.username
    assert made.ttl == 300, "a guest's are short"
    return made.username.partition(":")[2]


@pytest.mark.parametrize(("one", "other"), [("203.0.113.9", "203.0.113.9"), ("2001:db8::1", "2001:db8::2")])
def test_guests_of_one_address_have_one_name_whose_relays_are_counted_together(one: str, other: str) -> None:
    assert name_of("0192", one) == name_of("0193", other)


def test_guests_of_different_addresses_have_names_that_do_not_say_where_they_are() -> None:
    assert name_of("0192", "203.0.113.9") != name_of("0192", "203.0.113.8")
    assert "203.0.113.9" not in name_of("0192", "203.0.113.9")


def test_a_caller_gets_stun_only_without_a_secret() -> None:
    assert turn("").issue(ALICE).credential is None
