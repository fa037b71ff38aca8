"""Area of interest: in a large room near members are told at every tick, farther ones once a second.

Who is more than `RANGE` cells away is named in `away` and not told until it is back. What a cell is told is built
once for all who stand in it. It saves bandwidth, not the server's time; so it is for rooms with more members than
`PRESENCE_INTEREST_ABOVE`, and for clients with the feature `interest`.
"""

from collections.abc import Mapping

from services.realtime.poses.encoding import Pose
from services.realtime.poses.grid import ORIGIN, Cell, Grid, cell_of
from services.realtime.poses.state import News, PoseState
from services.realtime.poses.variants import Variants
from services.realtime.rooms.client import Place

MOST_NEAR = 64  # members told at every tick
RANGE = 12  # cells: 200 m
FAR_TICKS = 20  # between two tellings of who is farther away


class Interest:
    """One tick of one room."""

    def __init__(self, room: PoseState, news: News, timestamp: str) -> None:
        self._room = room
        self._news = news
        self._timestamp = timestamp
        self._grid = Grid({sid: pose.position or ORIGIN for sid, pose in room.latest.items()})
        self._told: dict[Cell, Variants] = {}
        self._everything: dict[Cell, Variants] = {}
        if news.changed:
            room.restless_until = news.tick + FAR_TICKS  # who moved last is told to those far away, too
        self._shown_before = room.shown
        room.shown = {}

    def variants(self, place: Place, *, behind: bool) -> Variants:
        """Returns the poses for a client: all in range, if it missed something or stands in another cell."""
        sid = place.member.socket_id
        cell = self._grid.cells.get(sid) or cell_of(place.member.position)
        if behind or self._room.told_in.get(sid) != cell:
            self._room.told_in[sid] = cell
            return self._kept(self._everything, cell)
        return self._kept(self._told, cell)

    def _kept(self, made: dict[Cell, Variants], cell: Cell) -> Variants:
        if cell not in made:
            made[cell] = self._all_in_range(cell) if made is self._everything else self._news_for(cell)
        return made[cell]

    def _shown_to(self, cell: Cell) -> set[str]:
        """Returns the members that clients in the cell may show. A cell that was empty for a tick is forgotten."""
        return self._room.shown.setdefault(cell, self._shown_before.get(cell, set()))

    def _all_in_range(self, cell: Cell) -> Variants:
        room, away = self._room, self._grid.farther(cell, RANGE)
        poses = {sid: pose for sid, pose in room.latest.items() if sid not in away}
        self._shown_to(cell).update(poses)
        names = [(number, sid) for sid, number in room.numbers.items()]
        return self._variants(poses, away, self._news.gone_unheard, names)

    def _news_for(self, cell: Cell) -> Variants:
        changed, shown = self._news.changed, self._shown_to(cell)
        poses = {sid: changed[sid] for sid in self._grid.near(cell, MOST_NEAR) if sid in changed}
        away: set[str] = set()
        if (self._news.tick + hash(cell)) % FAR_TICKS == 0:  # not all cells at once
            beyond = self._grid.farther(cell, RANGE)
            poses |= {sid: pose for sid, pose in self._moved_lately().items() if sid not in beyond}
            away = beyond & shown
            shown.intersection_update(self._room.latest.keys() - away)
        shown.update(poses)
        return self._variants(poses, away, self._news.gone, self._news.names)

    def _moved_lately(self) -> Mapping[str, Pose]:
        since, room = self._news.tick - FAR_TICKS, self._room
        return {sid: room.latest[sid] for sid, tick in room.moved_at.items() if tick >= since}

    def _variants(
        self, poses: Mapping[str, Pose], away: set[str], gone: list[str], names: list[tuple[int, str]]
    ) -> Variants:
        return Variants(poses, self._timestamp, self._room.numbers, gone=gone, names=names, away=sorted(away))
