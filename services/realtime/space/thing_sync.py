"""Brings the things of a space, as this replica knows them, from one version to the next, and tells its clients.

Every change is decided in Redis and told on the space's channel with the next version. A hole in the versions makes
them be read anew, and clients are told how what is stored differs from what they know.
"""

from libs.common.spaces import SpaceKey
from services.realtime.cluster.messages import ThingChange
from services.realtime.space.parts import SpaceParts
from services.realtime.space.things import SpaceThings, Told


class ThingSync:
    def __init__(self, key: SpaceKey, parts: SpaceParts) -> None:
        self.things = SpaceThings()
        self._key = key
        self._store = parts.presence.things
        self._broadcast = parts.broadcast

    async def reload(self, *, is_lost: bool = False) -> None:
        """Takes what is stored.

        What Redis has lost is put back, after the members of this replica where those `is_lost` too: what is in their
        hands stays there.
        """
        version, stored = await self._store.read(self._key)
        if version < self.things.version and list(self.things):
            if is_lost:
                return
            await self._store.put_back(self._key, self.things.version, self.things)
            version, stored = await self._store.read(self._key)
        for subspace, told in self.things.take(version, stored):
            self._tell(subspace, told)

    async def on_change(self, change: ThingChange) -> None:
        """Takes a change; one that is known already is passed over."""
        if change.version <= self.things.version:
            return
        if change.version > self.things.version + 1:
            await self.reload()
        elif told := self.things.apply(change):
            self._tell(change.subspace, told)

    def _tell(self, subspace: str, told: Told) -> None:
        self._broadcast.send(self._key, subspace, *told, lasts=True)
