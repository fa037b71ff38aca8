"""The messages between replicas on a space's Redis channel, as JSON tagged by `type`."""

import msgspec

from libs.common.contracts.log import LoggedEvent
from libs.common.contracts.members import Member
from libs.common.contracts.presence import EntityEventOut


class Arrival(msgspec.Struct):
    """`replaces` is the socket id of the same person's broken connection."""

    member: Member
    replaces: str | None = None


class MembersJoined(msgspec.Struct, tag="joined"):
    """Members who came together. `version` counts the space's changes."""

    version: int
    arrivals: list[Arrival]
    timestamp: str


class MembersLeft(msgspec.Struct, tag="left"):
    """Members who left together."""

    version: int
    socket_ids: list[str]
    reason: str
    timestamp: str


class Logged(msgspec.Struct, tag="logged"):
    """Durable events that were published together, in order of `seq`."""

    events: list[LoggedEvent]


class PoseWire(msgspec.Struct, array_like=True):
    """`data` is the client's `entityData`, as JSON that nobody on the way has to read."""

    socket_id: str
    user_account: str | None
    data: msgspec.Raw


class Poses(msgspec.Struct, tag="poses"):
    """The poses of one replica's members in one subspace that changed since its last tick."""

    replica: str
    subspace: str
    poses: list[PoseWire]


class AskPoses(msgspec.Struct, tag="ask-poses"):
    """`replica` has just come, or has `missed` something: the others tell it of all their members' poses."""

    replica: str
    missed: bool = False


class Entity(msgspec.Struct):
    """A spawned entity, as a `{space}:entities:…` hash holds it. `event` is the spawn that shows it as it is now.

    `stamp` is when it changed last, in microseconds of Unix time, later than any change before: of two states of an
    entity the one with the greater stamp holds. `owner` is `Member.owner`.
    """

    owner: str
    subspace: str
    event: EntityEventOut
    stamp: int = 1  # last: the scripts that compare it look at the end; the version before has none


class FromMember(msgspec.Struct, tag="relay"):
    """An ephemeral event of a member, on its way to the others in the subspace, or to one of them.

    `payload` is what clients get, as JSON that nobody on the way has to read. `owner` and `stamp` are of the entity
    that it changes (`Entity`), if it changes one. `lasts` (`EventPacket`): a slow client is not spared it.
    """

    replica: str
    subspace: str
    event: str
    payload: msgspec.Raw
    sender: str
    to: str | None = None
    owner: str = ""
    stamp: int = 0
    lasts: bool = False


class ThingRecord(msgspec.Struct, omit_defaults=True):
    """A thing, as the `{space}:things` hash holds it. `state` is fields and the JSON of each, `bytes` their size.

    `maker` is a socket, `owner` its `Member.owner`, `home` its address, `account` empty for a guest; `holder`,
    `holder_owner` and `holder_home` are of who holds it.
    """

    id: str
    subspace: str
    version: int
    state: dict[str, str]
    bytes: int
    maker: str
    owner: str
    home: str
    account: str
    holder: str = ""
    holder_owner: str = ""
    holder_home: str = ""


class ThingChange(msgspec.Struct, tag="thing"):
    """One change of a thing, as the script that made it tells everybody (`thing_scripts.py`).

    `kind` is made, with the `thing`; set, with the fields that changed and their JSON; held, with who holds it;
    released; removed; ended, where no thing of the subspace is left; or put back, after Redis had lost them all.
    """

    version: int
    kind: str
    subspace: str
    id: str
    thing: ThingRecord | None = None
    state: dict[str, str] = {}
    socket_id: str = ""
    owner: str = ""
    home: str = ""


class Blamed(msgspec.Struct, tag="blamed"):
    """A socket has another replica's member leave too much unread (`rooms/unread.py`)."""

    socket_id: str


type Message = MembersJoined | MembersLeft | Logged | Poses | AskPoses | FromMember | ThingChange | Blamed

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(
    MembersJoined | MembersLeft | Logged | Poses | AskPoses | FromMember | ThingChange | Blamed
).decode
decode_entity = msgspec.json.Decoder(Entity).decode
decode_thing = msgspec.json.Decoder(ThingRecord).decode
