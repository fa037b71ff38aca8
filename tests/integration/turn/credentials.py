"""Credentials as GET /api/turn-credentials gives them, by the same code."""

import base64
import dataclasses

import pytest

from deploy.local.servers.coturn import Coturn
from libs.common.identity import Identity
from libs.common.settings import read
from services.spaces_auth.joining.turn import TurnHandlers
from services.spaces_auth.settings import Settings

HOUR = 3600
ALICE = Identity("account", "alice", "alice", token_id="1")


def issued(server: Coturn, secret: str, *, seconds: int = HOUR) -> tuple[str, str]:
    """alice's user name and password; with negative `seconds` they have expired."""
    given = turn(server, secret, seconds).issue(ALICE)
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
            turn_uris=server.turn_uris,
            stun_uris=(server.stun_uri,),
        )
    )
