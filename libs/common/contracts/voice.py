"""TURN credentials for WebRTC (the TURN REST API draft: HMAC over `expiry:account`)."""

from dataclasses import dataclass
from typing import Any

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation


@dataclass(frozen=True)
class TurnCredentials:
    """`ttl` in seconds. `password` repeats `credential` for clients of the predecessor.

    Without a token: STUN only, and the three secrets are null.
    """

    username: str | None
    credential: str | None
    password: str | None
    ttl: int
    uris: list[str]
    iceServers: list[dict[str, Any]]  # noqa: N815  the name WebRTC's RTCConfiguration has


turn_credentials = Operation(
    "voice.turn_credentials",
    "spaces_auth",
    Empty,
    TurnCredentials,
    Access.ANYONE,
    Limit(30, 60),
    bindings=(Http("GET", "/api/turn-credentials"), Http("GET", "/api/webrtc/turn-config")),
    summary="Short-lived TURN credentials; STUN only without a token.",
)

RECORDS = (turn_credentials,)
