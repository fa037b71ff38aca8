"""Brings the entities of a space, as this replica knows them, to what is stored and what the others know.

What was heard while messages were lost is made good here, and told to the clients that are inside: a spawn for what is
new to them, a removal for what is gone.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from libs.common.contracts.members import Member
from libs.common.contracts.presence import EntityEventOut
from libs.common.spaces import SpaceKey
from services.realtime.cluster.messages import Entity, FromMember
from services.realtime.space.entities import REMOVE, SPAWN, SpaceEntities, entity_id, entity_name, shown_with
from services.realtime.space.parts import SpaceParts
from services.realtime.space.roster import Roster

_ABOUT_ENTITY = b'"name":"spawn"', b'"name":"remove"'
NOBODY = ""  # who said something that everybody is to hear


class EntitySync:
    """`roster` says who is there to own something."""

    def __init__(self, key: SpaceKey, parts: SpaceParts, entities: SpaceEntities, roster: Roster) -> None:
        self._key = key
        self._entities = entities
        self._roster = roster
        self._store = parts.presence.entities
        self._publisher = parts.publisher
        self._replica = parts.replica
        self._poses = parts.poses
        self._broadcast = parts.broadcast
        self.has_lost = False  # members of this replica, and with them what they had, until they are put back

    async def open(self) -> None:
        """Reads what was spawned before this replica came; nobody is here to be told."""
        for name, entity in (await self._store.read(self._key)).items():
            if self._has_owner(entity):
                self._entities.take(name, self._shown(entity))

    async def put_back(self) -> None:
        """Stores what the members of this replica have, which were lost and are members again."""
        await self._store.put(self._key, self._entities.of(self._roster.homes_here))
        self.has_lost = False

    async def reload(self) -> None:
        """Takes what is stored, and gives up what is not (any more), unless it is only to be stored."""
        stored = await self._store.read(self._key)
        kept = self._roster.homes_here if self.has_lost else set()
        for name, entity in stored.items():
            removal = self._entities.removal_of(name)
            if removal >= entity.stamp:
                self._remove_again(name, entity, removal)
            elif self._has_owner(entity) and self._entities.take(name, self._shown(entity)):
                self._tell(self._shown(entity))
        for name, entity in self._entities.all().items():
            is_gone = name not in stored and not self._publisher.is_to_store(self._key, name)
            if is_gone and (entity.owner, entity.subspace) not in kept:
                self._entities.drop(name)
                self._tell(msgspec.structs.replace(entity, event=_removal_of(entity)))

    def change(self, subspace: str, event: EntityEventOut, owner: str, stamp: int) -> bool:
        """Keeps what an event makes of an entity; it is later than what its owner's poses said of that.

        Returns False for one that a later one has overtaken.
        """
        if not self._entities.apply(subspace, event, owner, stamp):
            return False
        self._forget_poses(owner, subspace, entity_id(event))
        return True

    def note_unstamped(self, message: FromMember) -> bool:
        """Keeps a spawn or removal that a replica of the version before relays: as it comes, of the socket's own."""
        payload = bytes(message.payload)
        if not any(name in payload for name in _ABOUT_ENTITY):
            return True
        event = msgspec.json.decode(payload, type=EntityEventOut)
        if event.name not in (SPAWN, REMOVE):
            return True
        stamp = self._entities.new_stamp(entity_name(message.subspace, event))
        return self.change(message.subspace, event, message.sender, stamp)

    def told_by_poses(self, entity: Entity) -> Mapping[str, Any]:
        """Returns what the poses of an entity's owner say of entities, by id."""
        told: dict[str, Any] = {}
        for member in self._roster.sockets_of(entity.owner, entity.subspace):
            told |= self._poses.entities_of(self._key, entity.subspace, member.socket_id)
        return told

    def _forget_poses(self, owner: str, subspace: str, entity: str) -> None:
        for member in self._roster.sockets_of(owner, subspace):
            self._poses.forget_entity(self._key, subspace, member.socket_id, entity)

    def _tell(self, entity: Entity) -> None:
        """Tells this replica's clients what they missed of an entity."""
        self._forget_poses(entity.owner, entity.subspace, entity_id(entity.event))
        self._broadcast.send(self._key, entity.subspace, "entity-event", entity.event, lasts=True)

    def claimed(self, subspace: str, event: EntityEventOut, owner: str) -> EntityEventOut | None:
        """Returns a spawn as that of a socket which is there: it may come late. None where its owner has left."""
        sockets = self._roster.sockets_of(owner, subspace)
        if event.name != SPAWN or any(member.socket_id == event.socket_id for member in sockets):
            return event
        return msgspec.structs.replace(event, socket_id=sockets[0].socket_id) if sockets else None

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
