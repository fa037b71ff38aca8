"""The signals of presence, which travel on a socket and are not kept: who is here, and where.

Hot signals are msgspec structs, decoded and checked in one pass; `services/realtime` has a handler
for each that a client may send.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from libs.common.contracts.registry import Signal
from libs.common.contracts.things import Thing
from libs.common.contracts.voice import VoiceState

COORDINATE_LIMIT = 1e6  # metres from the origin; beyond it a float has no centimetres left
MAX_AVATAR_BYTES = 2048
MAX_ENTITIES = 64
MAX_MORE = 32  # fields of a pose beside those we know
MAX_NAME = 64  # characters of their names
_KNOWN = ("position", "rotation", "entities")
MAX_POSE_BYTES = 16 * 1024  # of JSON, entities included: everyone gets all of it whenever any of it changes
MAX_SEQ = 2**53  # what JavaScript counts exactly

Coordinate = Annotated[float, Meta(ge=-COORDINATE_LIMIT, le=COORDINATE_LIMIT)]


# Clients' names are camelCase, but for `avatar_data`.
_CAMEL = {
    "socket_id": "socketId",
    "user_account": "userAccount",
    "display_name": "displayName",
    "entity_data": "entityData",
    "space_type": "spaceType",
    "space_id": "spaceId",
}


class Position(Struct, frozen=True):
    """Metres, or degrees for a rotation: what A-Frame's components hold."""

    x: Coordinate = 0.0
    y: Coordinate = 0.0
    z: Coordinate = 0.0


class Rotation(Position, frozen=True):
    """Euler degrees, or a quaternion when `w` is there."""

    w: Coordinate | UnsetType = UNSET


class JoinSpace(Struct, rename=_CAMEL):
    """`after_seq` is the last number the client has: it is sent every durable event since, or told of a `gap`.

    Without `position` or `avatar_data` it has those of the person's connection that broke, or that is still here.

    `features`: `pose-batch` (a tick's poses as one `aframe-batch`), `pose-compact` (the same in 16 bytes a pose),
    `interest` (near members at every tick, far ones once a second, whoever is out of range not at all).
    """

    space_type: Annotated[str, Meta(max_length=16)]
    space_id: Annotated[str, Meta(max_length=300)]
    subspace: Annotated[str, Meta(max_length=64)] = "main"
    user_account: Any = None  # believed from no one: the token says who it is
    position: Position | UnsetType = UNSET
    avatar_data: Any = UNSET
    token: Annotated[str, Meta(max_length=4096)] | None = None
    after_seq: Annotated[int, Meta(ge=0, le=MAX_SEQ)] | None = None
    features: Annotated[list[str], Meta(max_length=16)] = []


class AframeUpdate(Struct, omit_defaults=True):
    """A pose, and the poses of what one moves. Absent fields keep their last value.

    Any further field is carried as it is, at most `MAX_MORE` of them. Above `MAX_ENTITIES`, `MAX_MORE` or
    `MAX_POSE_BYTES` the entities and further fields that were told of before are forgotten.
    """

    position: Position | UnsetType = UNSET
    rotation: Rotation | UnsetType = UNSET
    entities: Annotated[dict[str, Any], Meta(max_length=MAX_ENTITIES)] | UnsetType = UNSET

    def merged(self, newer: "AframeUpdate") -> "AframeUpdate":
        """This with what `newer` says; entities by their id."""
        entities = newer.entities if newer.entities else self.entities
        if self.entities and newer.entities:
            together = {**self.entities, **newer.entities}
            entities = dict(list(together.items())[-MAX_ENTITIES:])  # the newest
        position = newer.position if newer.position is not UNSET else self.position
        rotation = newer.rotation if newer.rotation is not UNSET else self.rotation
        more = {**further_fields(self), **further_fields(newer)}
        if not more:
            return AframeUpdate(position, rotation, entities)
        return FullUpdate(position, rotation, entities, dict(list(more.items())[-MAX_MORE:]))


class FullUpdate(AframeUpdate):
    """One with further fields, which on the wire are beside the others (`read_update`, `write_update`)."""

    more: dict[str, Raw] = {}


class _PlainUpdate(AframeUpdate, forbid_unknown_fields=True):
    """One without."""


_decode_plain = msgspec.json.Decoder(_PlainUpdate).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def further_fields(update: AframeUpdate) -> dict[str, Raw]:
    return update.more if isinstance(update, FullUpdate) else {}


def read_update(data: bytes | str) -> AframeUpdate:
    """Decodes an update: nearly always one without further fields, in one pass. Raises `MsgspecError`."""
    try:
        return _decode_plain(data)
    except msgspec.ValidationError:
        return _read_full(data)


def _read_full(data: bytes | str) -> AframeUpdate:
    fields = _decode_fields(data)
    plain = _decode_plain(msgspec.json.encode({name: fields.pop(name) for name in _KNOWN if name in fields}))
    if len(fields) > MAX_MORE or max(map(len, fields), default=0) > MAX_NAME:
        raise msgspec.ValidationError(f"A pose has at most {MAX_MORE} further fields, of names up to {MAX_NAME} long.")
    msgspec.json.decode(data)  # or others could not read what is out of range in one of them
    return FullUpdate(plain.position, plain.rotation, plain.entities, fields)


def write_update(update: AframeUpdate) -> bytes:
    """Encodes an update, as others are told of it."""
    more = further_fields(update)
    if not more:
        return msgspec.json.encode(update)
    plain = msgspec.json.encode(AframeUpdate(update.position, update.rotation, update.entities))
    return plain[:-1] + (b"," if len(plain) > 2 else b"") + msgspec.json.encode(more)[1:]


class EntityEvent(Struct):
    """Something that must not be merged with what came before: a spawn, a removal, a move in a game.

    `spawn` and `remove` name their entity in `data.id`; a spawned entity is in later joiners' snapshot until it
    is removed or its owner leaves. Any other event of its owner, or of a moderator, with that `data.id` changes it:
    what later joiners are shown has the fields of its `data`. With `to`, a socket id of the same space, only that one
    hears of it, and nothing is kept.
    """

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    data: Raw
    to: Annotated[str, Meta(max_length=64)] | None = None


class EntityEventOut(Struct, rename=_CAMEL):
    socket_id: str
    user_account: str | None
    name: str
    data: Raw


class Typing(Struct):
    typing: bool = True


class TypingOut(Struct, rename=_CAMEL):
    socket_id: str
    user_account: str | None
    display_name: str
    typing: bool


class AvatarUpdate(Struct):
    """At most `MAX_AVATAR_BYTES` of JSON."""

    avatar_data: Any


class AvatarUpdated(Struct, rename=_CAMEL):
    socket_id: str
    user_account: str | None
    avatar_data: Any


class AuthRefresh(Struct):
    """A new token for the same identity; the socket stays where it is."""

    token: Annotated[str, Meta(max_length=4096)]


class UserJoined(Struct, rename=_CAMEL):
    """`userAccount` is null for a guest, `voice` for who has not said anything of it."""

    socket_id: str
    user_account: str | None
    display_name: str
    guest: bool
    position: Position
    avatar_data: Any
    timestamp: str
    voice: VoiceState | None = None


class UserLeft(Struct, rename=_CAMEL):
    """`reason`: left, disconnected, lost (its server died), replaced, kicked.

    `successor` is the socket of the same person to which its entities belong now; without one they are gone.
    """

    socket_id: str
    user_account: str | None
    reason: str
    timestamp: str
    successor: str | UnsetType = UNSET


class SpaceJoined(Struct, rename=_CAMEL):
    """The snapshot: `seq` is the number of the last durable event it holds.

    `gap`: more was missed since `after_seq` than is sent again; the snapshot alone is the truth. `you` is how the
    others see this socket, `pose` its last `entityData` for one that came back.
    """

    success: bool
    space_type: str
    space_id: str
    subspace: str
    role: str
    seq: int
    users: list[UserJoined]
    you: UserJoined
    pose: AframeUpdate | None
    entities: list[EntityEventOut]
    things: list[Thing]
    messages: Annotated[list[Any], Meta(extra_json_schema={"items": {"$ref": "#/components/schemas/Message"}})]
    settings: Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/SpaceSettings"})]
    timestamp: str
    gap: bool = False


class Counts(Struct):
    """How many others, entities and messages a snapshot holds."""

    users: int
    entities: int
    messages: int


class Joined(Struct):
    """The ack of a joining, after its `space-joined`."""

    role: str
    seq: int
    gap: bool
    counts: Counts


class ServerTime(Struct):
    """Unix time in milliseconds."""

    time: int


class Refreshed(Struct):
    """When the new token runs out, Unix time in seconds."""

    expires_at: int


class PoseOut(Struct, rename=_CAMEL):
    """Someone's latest pose."""

    socket_id: str
    user_account: str | None
    entity_data: AframeUpdate
    timestamp: str


class PoseBatch(Struct, omit_defaults=True):
    """`t` is Unix time in milliseconds; `poses` are pairs of socketId and entityData; `gone` have left.

    `away` are out of range: forget where they are until they are among the poses again. With the feature
    `pose-compact`, `compact` is an attachment of 16 bytes a pose (`services/realtime/poses/compact.py`), and `names`
    are the pairs of number and socketId that it needs and that were not told before.
    """

    t: int
    poses: list[tuple[str, AframeUpdate]]
    gone: list[str]
    away: list[str] = []
    names: list[tuple[int, str]] = []
    compact: bytes = b""


class Nothing(Struct):
    """An empty object."""


class NafRoom(Struct):
    """networked-aframe's `joinRoom`."""

    room: Annotated[str, Meta(max_length=400)]


class NafPacket(Struct):
    """networked-aframe's `send` and `broadcast`: relayed in order, never merged, `data` as it is."""

    type: Annotated[str, Meta(max_length=64)]
    data: Raw
    to: Annotated[str, Meta(max_length=64)] | None = None


class NafPacketOut(Struct, rename={"sender": "from"}, omit_defaults=True):
    """`from` is stamped by the server."""

    sender: str
    type: str
    data: Raw
    to: str | None = None


class NafConnected(Struct, rename={"joined_time": "joinedTime"}):
    """Unix time in milliseconds."""

    joined_time: int


class NafOccupants(Struct):
    """Socket ids and when each joined, Unix time in milliseconds."""

    occupants: dict[str, int]


class Draining(Struct, rename={"retry_after": "retryAfter"}):
    """`retry_after` is in seconds; `code` is that of the error catalogue, `draining`."""

    retry_after: int
    code: str = "draining"


class SpaceError(Struct):
    error: str
    code: str


RECORDS = (
    Signal("join-space", JoinSpace, "client", "Enter a space; `space-joined` carries the snapshot.", Joined),
    Signal("leave-space", Nothing, "client", "Leave the space this socket is in."),
    Signal("aframe-update", AframeUpdate, "client", "One's pose; only the latest counts."),
    Signal("entity-event", EntityEvent, "client", "Relayed to the others in order, never merged."),
    Signal("chat-typing", Typing, "client", "One is writing, or stopped."),
    Signal("avatar-update", AvatarUpdate, "client", "One's avatar changed."),
    Signal("auth-refresh", AuthRefresh, "client", "A new token, before the old one runs out.", Refreshed),
    Signal("joinRoom", NafRoom, "client", "networked-aframe: enter a space by its room name.", Joined),
    Signal("send", NafPacket, "client", "networked-aframe: to one occupant."),
    Signal("broadcast", NafPacket, "client", "networked-aframe: to all others."),
    Signal("time", Nothing, "client", "The server's clock.", ServerTime),
    Signal("space-joined", SpaceJoined, "server", "The snapshot of the space just entered."),
    Signal("user-joined", UserJoined, "server", "Someone entered."),
    Signal("user-left", UserLeft, "server", "Someone left."),
    Signal("aframe-update", PoseOut, "server", "Someone's latest pose."),
    Signal(
        "aframe-batch",
        PoseBatch,
        "server",
        "A tick's latest poses, for the features `pose-batch` and `pose-compact`.",
    ),
    Signal("entity-event", EntityEventOut, "server", "What someone sent, in the order in which they did."),
    Signal("chat-typing", TypingOut, "server", "Someone is writing, or stopped."),
    Signal("avatar-updated", AvatarUpdated, "server", "Someone's avatar changed."),
    Signal("connectSuccess", NafConnected, "server", "networked-aframe: the room was entered."),
    Signal("occupantsChanged", NafOccupants, "server", "networked-aframe: who is in the room."),
    Signal("send", NafPacketOut, "server", "networked-aframe: from one occupant to this one."),
    Signal("broadcast", NafPacketOut, "server", "networked-aframe: from one occupant to all others."),
    Signal("server-draining", Draining, "server", "This server restarts; the socket will be closed and may reconnect."),
    Signal("space-error", SpaceError, "server", "A command concerning the space failed."),
    Signal("chat-error", SpaceError, "server", "A command concerning chat failed."),
)
