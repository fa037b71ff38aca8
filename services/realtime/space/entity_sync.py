"""Brings the entities of a space, as this replica knows them, to what is stored and what the others know.

What was heard while messages were lost is made good here, and told to the clients that are inside: a spawn for what is
new to them, a removal for what is gone.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from libs.common.contracts.members import Member
from libs.common.contracts.presence import EntityEventOut
from libs.common.spaces import SpaceKey
from services.realtime.cluster.entity_store import EntityStore
from services.realtime.cluster.messages import Entity, FromMember
from services.realtime.cluster.publisher import Publisher
from services.realtime.space.entities import REMOVE, SpaceEntities, entity_id, shown_with
from services.realtime.space.roster import Roster

NOBODY = ""  # who said something that everybody is to hear

type Tell = Callable[[Entity], None]  # of its event, the clients of its subspace


class EntitySync:
    """`tell` tells this replica's clients; `roster` says who is there to own something."""

    def __init__(
        self,
        key: SpaceKey,
        entities: SpaceEntities,
        roster: Roster,
        store: EntityStore,
        publisher: Publisher,
        replica: str,
        tell: Tell,
    ) -> None:
        self._key = key
        self._entities = entities
        self._roster = roster
        self._store = store
        self._publisher = publisher
        self._replica = replica
        self._tell = tell

    async def open(self) -> None:
        """Reads what was spawned before this replica came; nobody is here to be told."""
        for name, entity in (await self._store.read(self._key)).items():
            if self._has_owner(entity):
                self._entities.take(name, self._shown(entity))

    async def share(self) -> None:
        """Stores what the members of this replica have, where Redis has not heard of it."""
        await self._store.put(self._key, self._entities.of(self._roster.homes_here))

    async def reload(self) -> None:
        """Takes what others have stored. What somebody else has is gone where it is stored no more."""
        stored = await self._store.read(self._key)
        homes_here = self._roster.homes_here
        for name, entity in stored.items():
            removal = self._entities.removal_of(name)
            if removal >= entity.stamp:
                self._remove_again(name, entity, removal)
            elif self._has_owner(entity) and self._entities.take(name, self._shown(entity)):
                self._tell(self._shown(entity))
        for name, entity in self._entities.all().items():
            if name not in stored and (entity.owner, entity.subspace) not in homes_here:
                self._entities.drop(name)
                self._tell(msgspec.structs.replace(entity, event=_removal_of(entity)))

    def leave(self, member: Member, successors: list[Member], moved: Mapping[str, Any]) -> str | None:
        """Has a member's entities go on with the oldest of its person's other sockets, which is returned, or end."""
        if not successors:
            self._entities.drop_of(member.owner, member.subspace)
            return None
        heir = successors[0]
        changed = self._entities.hand_on(member.owner, member.subspace, member.socket_id, heir.socket_id, moved)
        if heir.replica == self._replica:
            for name, entity in changed.items():
                self._publisher.put_entity(self._key, name, entity)
        return heir.socket_id

    def _has_owner(self, entity: Entity) -> bool:
        return bool(self._roster.sockets_of(entity.owner, entity.subspace))

    def _shown(self, entity: Entity) -> Entity:
        """Returns the entity as that of a socket which is there."""
        sockets = self._roster.sockets_of(entity.owner, entity.subspace)
        is_there = any(member.socket_id == entity.event.socket_id for member in sockets)
        return entity if is_there or not sockets else shown_with(entity, sockets[0].socket_id)

    def _remove_again(self, name: str, entity: Entity, stamp: int) -> None:
        """Says once more what somebody has missed, also to the one whose entity it was."""
        self._publisher.remove_entity(self._key, name, entity, stamp)
        payload = msgspec.Raw(msgspec.json.encode(_removal_of(entity)))
        message = FromMember(
            self._replica, entity.subspace, "entity-event", payload, NOBODY, None, entity.owner, stamp, True
        )
        self._publisher.put(self._key, message)


def _removal_of(entity: Entity) -> EntityEventOut:
    data = msgspec.Raw(msgspec.json.encode({"id": entity_id(entity.event)}))
    return EntityEventOut(entity.event.socket_id, entity.event.user_account, REMOVE, data)
