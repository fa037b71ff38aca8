"""Keeps the poses of one subspace: everyone's latest, and the part of it that has not been told yet."""

from services.realtime.poses.compact import NUMBERS
from services.realtime.poses.encoding import Pose
from services.realtime.poses.grid import Cell


class PoseState:
    """`tick` counts the ticks in which something was told; `moved_at` says in which one each moved last.

    `shown`, `told_in` and `restless_until` (a tick) are the area of interest's.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Pose] = {}
        self.changed: dict[str, Pose] = {}
        self.moved_here: dict[str, Pose] = {}  # this replica's members of whom the others do not know yet
        self.gone: set[str] = set()
        self.behind: set[str] = set()  # sockets that missed a tick
        self.gone_unheard: set[str] = set()  # who left since the first of them fell behind
        self.numbers: dict[str, int] = {}
        self.new_numbers: list[tuple[int, str]] = []
        self.tick = 0
        self.moved_at: dict[str, int] = {}
        self.shown: dict[Cell, set[str]] = {}
        self.told_in: dict[str, Cell] = {}  # by socket: where it stood when it was last told of everyone in range
        self.restless_until = -1
        self._taken: set[int] = set()
        self._next_number = 0

    def set(self, pose: Pose) -> bool:
        """Takes a newer pose. Returns False when it says nothing new."""
        sid = pose.socket_id
        before = self.latest.get(sid)
        if before is None:
            self._number(sid)
            self.gone.discard(sid)
            self.gone_unheard.discard(sid)
        elif before.data == pose.data:
            return False
        self.latest[sid] = self.changed[sid] = pose
        self.moved_at[sid] = self.tick
        return True

    def _number(self, socket_id: str) -> None:
        """Gives a member the next free number: one that was given back is the last to be taken again.

        Where there are more members than numbers, some have none, and their poses travel as JSON.
        """
        if len(self._taken) >= NUMBERS:
            return
        while self._next_number in self._taken:
            self._next_number = (self._next_number + 1) % NUMBERS
        number, self._next_number = self._next_number, (self._next_number + 1) % NUMBERS
        self._taken.add(number)
        self.numbers[socket_id] = number
        self.new_numbers.append((number, socket_id))

    def replace(self, pose: Pose) -> None:
        """Takes what is left of a pose of which a part is no longer true: clients know that already.

        Other replicas may not, and are told by the one whose member it is.
        """
        self.latest[pose.socket_id] = pose
        if pose.socket_id in self.changed:
            self.changed[pose.socket_id] = pose
        if pose.state:
            self.moved_here[pose.socket_id] = pose

    def forget_listener(self, socket_id: str) -> None:
        """Drops the notes on what a client was told; its pose stays for as long as it is a member."""
        self.behind.discard(socket_id)
        self.told_in.pop(socket_id, None)
        self.moved_here.pop(socket_id, None)

    def forget(self, socket_id: str) -> None:
        """Drops a member who left."""
        if self.latest.pop(socket_id, None):
            self.gone.add(socket_id)
            self._taken.discard(self.numbers.pop(socket_id, NUMBERS))
            del self.moved_at[socket_id]
        self.changed.pop(socket_id, None)
        self.forget_listener(socket_id)

    @property
    def has_news(self) -> bool:
        return bool(self.changed or self.gone or self.behind or self.tick <= self.restless_until)

    def next_tick(self) -> "News":
        """Takes and returns the news since the last tick."""
        news = News(self)
        self.gone_unheard = self.gone_unheard | self.gone if self.behind else set()
        self.changed, self.gone, self.new_numbers = {}, set(), []
        self.tick += 1
        return news


class News:
    """The news that one tick tells of a room."""

    def __init__(self, room: PoseState) -> None:
        self.tick = room.tick
        self.changed = room.changed
        self.gone = sorted(room.gone)
        self.names = [(number, sid) for number, sid in room.new_numbers if sid in room.numbers]
        self.gone_unheard = sorted(room.gone_unheard | room.gone)
