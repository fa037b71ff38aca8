"""TURN credentials as coturn checks them."""

import base64
import hashlib
import hmac
import time

from libs.common.bus.base import Caller
from libs.common.contracts.auth import Empty
from libs.common.contracts.schema import dump
from libs.common.identity import Identity, guest_identity
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.settings import Settings
from tests.unit.common.test_settings_reading import defaults

ALICE = Identity("account", "alice", "alice", token_id="token-1")
KEY = base64.b64encode(bytes(32)).decode()


def turn(secret: str = "shared") -> TurnHandlers:
    return TurnHandlers(defaults(Settings, secret_key=KEY, turn_secret=secret, turn_seconds=600))


def test_the_credential_is_the_drafts_hmac_over_expiry_and_account() -> None:
    before = int(time.time())
    made = turn().issue(ALICE)
    assert made.username
    expiry, _, account = made.username.partition(":")
    assert account == "alice"
    assert before + 600 <= int(expiry) <= int(time.time()) + 600
    digest = hmac.new(b"shared", made.username.encode(), hashlib.sha1).digest()
    assert made.credential == made.password == base64.b64encode(digest).decode()
    assert made.ttl == 600


def test_ice_servers_are_what_a_peer_connection_takes() -> None:
    made = turn().issue(ALICE)
    stun, relay = dump(made)["iceServers"]
    assert all(uri.startswith("stun:") for uri in stun["urls"])
    assert all(uri.startswith("turn:") for uri in relay["urls"])
    assert (relay["username"], relay["credential"]) == (made.username, made.credential)
    assert made.uris == [*stun["urls"], *relay["urls"]]


async def test_without_a_token_there_is_stun_only() -> None:
    made = await turn().credentials(Caller(guest_identity("0192"), "r"), Empty())
    assert (made.username, made.credential, made.password) == (None, None, None)
    assert made.uris
    assert all(uri.startswith("stun:") for uri in made.uris)


async def test_a_guest_with_a_token_gets_a_relay() -> None:
    made = await turn().credentials(Caller(guest_identity("0192", token_id="token-2"), "r"), Empty())
    assert made.username
    assert made.username.endswith(":0192")


def test_without_a_secret_there_is_stun_only() -> None:
    assert turn("").issue(ALICE).credential is None
