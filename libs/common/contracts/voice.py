"""Voice and screens: TURN credentials (the TURN REST API draft), and the signalling of WebRTC between two sockets."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation, Signal
from libs.common.contracts.schema import SpaceId, SpaceType, choice, integer, shape

SocketId = Annotated[str, Meta(max_length=64)]
Media = Literal["voice", "screen"]
_CAMEL = {
    "target_socket_id": "targetSocketId",
    "from_socket_id": "fromSocketId",
    "from_user": "fromUser",
    "socket_id": "socketId",
    "user_account": "userAccount",
}


_URLS = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_CREDENTIALS = {"username": {"type": "string"}, "credential": {"type": "string"}}
ICE_SERVERS = shape(items={"type": "object", "required": ["urls"], "properties": {"urls": _URLS, **_CREDENTIALS}})
"""WebRTC's `RTCIceServer`s."""


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
    iceServers: list[dict[str, Any]] = field(metadata=ICE_SERVERS)  # noqa: N815  the name WebRTC's RTCConfiguration has


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


@dataclass(frozen=True)
class ConnectionReport:
    """How one attempt to reach a peer ended, once, from one side. `path` is the kind of the chosen candidate pair.

    `milliseconds` from the offer to being connected, or to giving up.
    """

    outcome: Annotated[str, choice("connected", "failed")]
    path: Annotated[str, choice("host", "srflx", "prflx", "relay", "unknown")] = "unknown"
    media: Annotated[str, choice("voice", "screen")] = "voice"
    milliseconds: Annotated[int, integer(0, 600_000)] | None = None
    space_type: SpaceType | None = None
    space_id: SpaceId | None = None


report_connection = Operation(
    "voice.report_connection",
    "spaces_auth",
    ConnectionReport,
    Empty,
    Access.ANYONE,
    Limit(60, 60),
    writes=True,
    bindings=(Http("POST", "/api/webrtc/reports", 201),),
    summary="A client's connection outcome, for the success rate.",
)


class Offer(Struct, rename=_CAMEL):
    """An SDP offer for one socket in the same space (JSEP, RFC 9429). `media` is voice or screen."""

    target_socket_id: SocketId
    offer: Raw
    media: Media = "voice"


class Answer(Struct, rename=_CAMEL):
    target_socket_id: SocketId
    answer: Raw
    media: Media = "voice"


class IceCandidate(Struct, rename=_CAMEL):
    target_socket_id: SocketId
    candidate: Raw
    media: Media = "voice"


class Signalled(Struct, rename=_CAMEL, omit_defaults=True):
    """A signal as its target receives it, stamped with its sender."""

    from_socket_id: str
    from_user: str | None
    media: str
    offer: Raw | UnsetType = UNSET
    answer: Raw | UnsetType = UNSET
    candidate: Raw | UnsetType = UNSET


class VoiceState(Struct):
    """The state of a member's microphone and screen."""

    enabled: bool
    muted: bool = False
    speaking: bool = False
    screen: bool = False


class VoiceStateOut(VoiceState, rename=_CAMEL, kw_only=True):
    socket_id: str
    user_account: str | None


class VoicePeers(Struct):
    """Socket ids to hold a voice connection to; each of them is told the same of the reader.

    Of two, the one with the smaller socket id sends the offer.
    """

    peers: list[str]


RECORDS = (
    turn_credentials,
    report_connection,
    Signal("webrtc-offer", Offer, "client", "To one socket in the same space."),
    Signal("webrtc-answer", Answer, "client", "To one socket in the same space."),
    Signal("webrtc-ice-candidate", IceCandidate, "client", "To one socket in the same space."),
    Signal("voice-state", VoiceState, "client", "One's microphone and screen, for the others."),
    Signal("webrtc-offer", Signalled, "server", "An offer from someone in the same space."),
    Signal("webrtc-answer", Signalled, "server", "An answer from someone in the same space."),
    Signal("webrtc-ice-candidate", Signalled, "server", "A candidate from someone in the same space."),
    Signal("voice-state", VoiceStateOut, "server", "Someone's microphone and screen."),
    Signal("voice-peers", VoicePeers, "server", "The nearest few, when they changed."),
)
