"""What a held space is made of, and who hears of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.common.bus.base import Bus
from libs.common.spaces import SpaceKey
from services.realtime.cluster.messages import FromMember
from services.realtime.cluster.presence import Presence
from services.realtime.cluster.publisher import Publisher
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client

if TYPE_CHECKING:
    from services.realtime.space.held_space import HeldSpace


class SpaceListener:
    """Hears of this replica's held spaces; the defaults do nothing."""

    def on_roster_changed(self, space: "HeldSpace", subspace: str) -> None:
        """Somebody came to the subspace, or left it."""

    def on_event(self, space: SpaceKey, event_name: str) -> None:
        """A durable event was delivered."""

    def on_welcome(self, space: "HeldSpace", client: Client) -> None:
        """A client was sent its snapshot, and hears the space after this."""

    def on_message(self, space: "HeldSpace", message: FromMember) -> None:
        """Another replica's message is delivered after this."""

    def on_missed(self, space: "HeldSpace") -> None:
        """Other replicas may have missed what members of this one said."""


@dataclass(frozen=True, slots=True)
class SpaceParts:
    """The parts that the held spaces of a replica work with. A hole in the events is waited for `gap_seconds`."""

    replica: str
    bus: Bus
    presence: Presence
    publisher: Publisher
    broadcast: Broadcast
    poses: PoseTicker
    gap_seconds: float
    listeners: Sequence[SpaceListener]
