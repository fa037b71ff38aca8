"""Credentials as GET /api/turn-credentials gives them, by the same code."""

import base64
import dataclasses

import pytest

from deploy.local.servers.coturn import Coturn
from libs.common.bus.base import Caller
from libs.common.identity import Identity, guest_identity
from libs.common.settings import read
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.settings import Settings

HOUR = 3600
ALICE = Caller(Identity("account", "alice", "alice", token_id="1"), "r", "203.0.113.9")


def guest(number: int, address: str) -> Caller:
    return Caller(guest_identity(f"g{number}", token_id=f"{number}"), "r", address)


def issued(server: Coturn, secret: str, *, seconds: int = HOUR, caller: Caller = ALICE) -> tuple[str, str]:
    """The caller's user name and password; with negative `seconds` they have expired."""
    given = turn(server, secret, seconds).issue(caller)
    assert given.username is not None
    assert given.credential is not None
    return given.username, given.credential


def turn(server: Coturn, secret: str, seconds: int = HOUR) -> TurnHandlers:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PRESENCE_SECRET_KEY", base64.b64encode(bytes(32)).decode())
        settings = read(Settings)
    return TurnHandlers(
        dataclasses.replace(
            settings,
            turn_secret=secret,
            turn_seconds=seconds,
            guest_turn_seconds=seconds,
            turn_uris=server.turn_uris,
            stun_uris=(server.stun_uri,),
        )
    )
