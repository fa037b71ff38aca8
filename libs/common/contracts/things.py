"""Things: objects of a space whose state the server decides, one change after the other.

Anyone inside makes a thing, holds it, changes it and lets it go; of two who reach for it at once exactly one has it.
Every change is told to everybody in the subspace, also to who made it, and is in the `things` of later snapshots.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from libs.common.contracts.registry import Signal

MAX_STATE_BYTES = 4096  # of a thing: the names and the JSON of its fields
MAX_FIELDS = 64  # of a thing's state
MAX_VERSION = 2**53  # what JavaScript counts exactly

ThingId = Annotated[str, Meta(min_length=1, max_length=64)]
FieldName = Annotated[str, Meta(max_length=64)]
State = Annotated[dict[FieldName, Raw], Meta(max_length=MAX_FIELDS)]


class ThingMake(Struct):
    """With `hold` it is made in the hand of who makes it. One of that `id` that is there already stays as it is."""

    id: ThingId
    state: State = {}
    hold: bool = False


class ThingNamed(Struct):
    id: ThingId


class ThingSet(Struct):
    """Fields that are not named keep their value, and one that is null goes (RFC 7396, but for what is inside a field).

    With `version` it is taken only if that is the thing's: nobody has changed it since.
    """

    id: ThingId
    state: State
    version: Annotated[int, Meta(ge=0, le=MAX_VERSION)] | None = None


class Thing(Struct):
    """`holder` is a socket id, null where nobody holds it; `creator` an account, null where a guest made it.

    `version` rises with every change, also over a removal and a making anew.
    """

    id: str
    version: int
    state: dict[str, Raw]
    holder: str | None
    creator: str | None


class ThingHeld(Struct):
    id: str
    version: int
    holder: str


class ThingWasSet(Struct, rename={"socket_id": "socketId"}):
    """`state` holds the fields that changed, null for one that went; `socketId` changed them."""

    id: str
    version: int
    state: dict[str, Raw]
    socket_id: str


class ThingVersion(Struct):
    id: str
    version: int


class ThingReleased(ThingVersion):
    """`holder` is null: each of these events, laid over the thing as it was, gives the thing as it is."""

    holder: None = None


class ThingAck(Struct):
    """The thing as it is after what was asked for, or as it was there already."""

    thing: Thing


class VersionAck(Struct):
    """The thing's version after what was asked for."""

    version: int


RECORDS = (
    Signal("thing-make", ThingMake, "client", "Make a thing, or be told of the one that has that id.", ThingAck),
    Signal("thing-hold", ThingNamed, "client", "Hold a thing that nobody else holds.", ThingAck),
    Signal("thing-set", ThingSet, "client", "Change the state of a thing that nobody else holds.", VersionAck),
    Signal(
        "thing-release", ThingNamed, "client", "Let go of a thing; who moderates takes it out of any hand.", VersionAck
    ),
    Signal(
        "thing-remove", ThingNamed, "client", "Remove a thing that one made; who moderates removes any.", VersionAck
    ),
    Signal("thing-made", Thing, "server", "A thing as it is now: a new one, or in the place of what is known of it."),
    Signal("thing-held", ThingHeld, "server", "Somebody holds a thing."),
    Signal("thing-set", ThingWasSet, "server", "Somebody changed the state of a thing."),
    Signal("thing-released", ThingReleased, "server", "Nobody holds a thing any more."),
    Signal("thing-removed", ThingVersion, "server", "A thing is gone."),
)
