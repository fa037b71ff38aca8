"""The members of one space, all subspaces and replicas, as one replica knows them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

import msgspec

from libs.common.contracts.members import Member
from libs.common.contracts.presence import Position
from libs.common.contracts.voice import VoiceState

_encode = msgspec.json.Encoder().encode

type PositionOf = Callable[[str], Position | None]


class Roster:
    """`version` is the number of the last change it holds."""

    def __init__(self, replica: str) -> None:
        self.version = 0
        self._replica = replica
        self._members: dict[str, Member] = {}
        self._subspaces: dict[str, dict[str, Member]] = defaultdict(dict)
        self._replicas: Counter[str] = Counter()
        self._sockets_of: dict[str, dict[str, Member]] = defaultdict(dict)  # by owner and socket id
        self._shown: dict[str, tuple[Position | None, bytes]] = {}

    def __contains__(self, socket_id: str) -> bool:
        return socket_id in self._members

    @property
    def socket_ids(self) -> set[str]:
        return set(self._members)

    @property
    def is_shared(self) -> bool:
        """Returns whether another replica has members here."""
        return len(self._members) > self._replicas[self._replica]

    @property
    def other_replicas(self) -> set[str]:
        """Returns the replicas that have members here, beside this one."""
        return {replica for replica, members in self._replicas.items() if members > 0} - {self._replica}

    @property
    def subspaces(self) -> list[str]:
        """Returns the subspaces that somebody is in."""
        return list(self._subspaces)

    def get(self, socket_id: str) -> Member | None:
        return self._members.get(socket_id)

    def sockets_of(self, owner: str, subspace: str) -> list[Member]:
        """Returns the members of one person in the subspace, the one that is there for longest first."""
        found = [member for member in self._sockets_of.get(owner, {}).values() if member.subspace == subspace]
        return sorted(found, key=seniority)

    @property
    def homes_here(self) -> set[tuple[str, str]]:
        """Returns owner and subspace of each member of this replica, also of those whose connection broke."""
        mine = (member for member in self._members.values() if member.replica == self._replica)
        return {(member.owner, member.subspace) for member in mine}

    def of(self, subspace: str) -> Mapping[str, Member]:
        """Returns everyone in the subspace, by socket id."""
        return self._subspaces.get(subspace, {})

    def add(self, member: Member) -> bool:
        """Takes a member's record. Returns False for a member who was known."""
        known = self.remove(member.socket_id) is not None
        self._members[member.socket_id] = self._subspaces[member.subspace][member.socket_id] = member
        self._replicas[member.replica] += 1
        self._sockets_of[member.owner][member.socket_id] = member
        return not known

    def remove(self, socket_id: str) -> Member | None:
        member = self._members.pop(socket_id, None)
        if member:
            subspace = self._subspaces[member.subspace]
            del subspace[socket_id]
            if not subspace:
                del self._subspaces[member.subspace]
            self._replicas[member.replica] -= 1
            sockets = self._sockets_of[member.owner]
            del sockets[socket_id]
            if not sockets:
                del self._sockets_of[member.owner]
            self._shown.pop(socket_id, None)
        return member

    def set_avatar(self, socket_id: str, avatar_data: object) -> None:
        if member := self._members.get(socket_id):
            member.avatar_data = avatar_data
            self._shown.pop(socket_id, None)

    def set_voice(self, socket_id: str, voice: VoiceState) -> None:
        if member := self._members.get(socket_id):
            member.voice = voice
            self._shown.pop(socket_id, None)

    def shown(self, subspace: str, but: str, position_of: PositionOf) -> msgspec.Raw:
        """Returns everyone in the subspace but one, where they are now: the JSON of a list of `UserJoined`.

        Each record's bytes are kept until it moves, so that a thousand who enter cost a join of pieces each.
        """
        pieces = [self._piece(member, position_of(sid)) for sid, member in self.of(subspace).items() if sid != but]
        return msgspec.Raw(b"[" + b",".join(pieces) + b"]")

    def _piece(self, member: Member, position: Position | None) -> bytes:
        shown = self._shown.get(member.socket_id)
        if shown is None or shown[0] is not position:
            if position is not None:
                member.position = position
            shown = self._shown[member.socket_id] = position, _encode(member.joined())
        return shown[1]


def seniority(member: Member) -> tuple[str, str]:
    """Puts a person's sockets in one order on all replicas."""
    return member.joined_at, member.socket_id
