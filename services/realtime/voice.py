"""Chooses whom to hold a voice connection to: the nearest few, by the space's audio mode.

A mesh of peers does not carry a crowd, so each is told of a few: `voice-peers {peers}`, again when they change. A
connection has two ends: whoever is named to one is told of that one, too. Modes (`settings.audio.mode`):

* `ambient`: the nearest within earshot;
* `spatial`: the same; clients place each voice where its speaker is;
* `stage`: those on the stage, that is moderators, owner and operators, are heard by all; the others hear nobody else;
* `announcement`: `ambient`, and besides those of the stage for everyone.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import partial

from libs.common.contracts.members import Member
from libs.common.contracts.presence import Position
from libs.common.contracts.voice import VoicePeers
from libs.common.roles import MODERATING
from libs.common.spaces import SpaceKey
from libs.common.tasks.background import Background
from services.realtime.poses.grid import Grid, distance
from services.realtime.poses.ticker import PoseTicker
from services.realtime.space.held_space import HeldSpace
from services.realtime.space.held_spaces import HeldSpaces
from services.realtime.transport.packets import EventPacket

LOOK_SECONDS = 1.0
MOST_PEERS = 8  # whom one chooses
MOST_CONNECTIONS = 16  # with those who chose one
MOST_ON_STAGE = 64  # connections of somebody on the stage
MOST_CANDIDATES = 64  # who are looked at for one
EARSHOT = 24.0  # metres
LOYALTY = 0.75  # a peer stays until somebody is nearer than this part of its distance
WITH_STAGE = {"stage", "announcement"}  # modes

type Peers = dict[str, list[str]]


class Hall:
    """The members of a subspace who take part in voice.

    `positions` says where they are, `stage` who of them is on it, `before` whom they held a connection to.
    """

    def __init__(
        self,
        mode: str,
        positions: Mapping[str, Position],
        stage: Collection[str],
        before: Mapping[str, Collection[str]],
    ) -> None:
        self._positions = positions
        self._before = before
        self._grid = Grid(positions)
        self._stage = stage if mode in WITH_STAGE else []
        self._hears_near = mode != "stage"

    def peers(self) -> Peers:
        """Returns the peers of each, with whom it holds a connection; of two, each names the other."""
        chosen = {sid: self._chosen(sid) for sid in self._positions}
        wished = {sid: dict.fromkeys(peers) for sid, peers in chosen.items()}
        for sid, peers in chosen.items():
            for peer in peers:
                wished[peer][sid] = None
        kept = {sid: list(peers)[: self._most(sid)] for sid, peers in wished.items()}
        return {sid: [peer for peer in peers if sid in kept[peer]] for sid, peers in kept.items()}

    def _most(self, sid: str) -> int:
        return MOST_ON_STAGE if sid in self._stage else MOST_CONNECTIONS

    def _chosen(self, sid: str) -> list[str]:
        """The stage first, where there is one, then who is near."""
        near = self._nearest(sid, self._within_earshot(sid)) if self._hears_near else []
        return list(dict.fromkeys([*self._nearest(sid, self._stage), *near]))[:MOST_PEERS]

    def _within_earshot(self, sid: str) -> list[str]:
        here = self._positions[sid]
        near = self._grid.near(self._grid.cells[sid], MOST_CANDIDATES, EARSHOT)
        return [other for other in near if distance(self._positions[other], here) <= EARSHOT]

    def _nearest(self, sid: str, others: Iterable[str]) -> list[str]:
        here, before = self._positions[sid], self._before.get(sid, ())

        def by(other: str) -> tuple[float, str]:
            metres = distance(self._positions[other], here)
            return metres * LOYALTY if other in before else metres, other

        return sorted((other for other in others if other != sid), key=by)[:MOST_PEERS]


class Voice:
    """A component: looks once a second, and tells this replica's sockets."""

    def __init__(self, held_spaces: HeldSpaces, poses: PoseTicker) -> None:
        self._held_spaces = held_spaces
        self._poses = poses
        self._peers: dict[tuple[SpaceKey, str], Peers] = {}
        self._background = Background()

    async def start(self) -> None:
        self._background.every(LOOK_SECONDS, self._look)

    async def stop(self) -> None:
        await self._background.end()

    async def _look(self) -> None:
        before, self._peers = self._peers, {}
        for key, space in self._held_spaces.by_key.items():
            for subspace in space.roster.subspaces:
                last = before.get((key, subspace), {})
                peers = self._plan(space, subspace, last)
                if peers or last:
                    self._peers[key, subspace] = peers
                    _tell(space, peers, last)

    def _plan(self, space: HeldSpace, subspace: str, before: Peers) -> Peers:
        speakers = {sid: member for sid, member in space.roster.of(subspace).items() if _takes_part(member)}
        if not speakers:
            return {}
        position_of = partial(self._poses.position_of, space.key, subspace)
        positions = {sid: position_of(sid) or member.position for sid, member in speakers.items()}
        stage = [sid for sid, member in speakers.items() if member.role in MODERATING]
        return Hall(_mode(space), positions, stage, before).peers()


def _takes_part(member: Member) -> bool:
    return member.voice is not None and (member.voice.enabled or member.voice.screen)


def _mode(space: HeldSpace) -> str:
    """Returns the audio mode of the newest settings that a client here was authorised under."""
    places = [client.place for client in space.clients.values() if client.place]
    newest = max(places, key=lambda place: place.authorization.epoch, default=None)
    return str(newest.authorization.settings["audio"].get("mode", "ambient")) if newest else "ambient"


def _tell(space: HeldSpace, peers: Peers, last: Peers) -> None:
    for sid, client in space.clients.items():
        chosen = peers.get(sid, [])
        if set(chosen) != set(last.get(sid, [])):
            space.tell(client, EventPacket("voice-peers", VoicePeers(chosen)))
