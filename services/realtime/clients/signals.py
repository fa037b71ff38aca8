"""Handles the product's own signals, one function each: a member says something to the others, and nobody keeps it.

A handler returns the fields that its ack adds to `{ok: true}`, or raises `PresenceError`; it names the errors beyond
validation, which the payload's struct in `libs/common/contracts` does. Every signal of a member raises `forbidden`
outside of a space.
"""

import time
from typing import Any

import msgspec
from msgspec import UNSET

from libs.common.contracts import presence, voice
from libs.common.contracts.moderation import FreeChannel
from libs.common.contracts.presence import (
    MAX_AVATAR_BYTES,
    AframeUpdate,
    AuthRefresh,
    EntityEvent,
    NafPacket,
    Nothing,
    further_fields,
)
from libs.common.edge.gatekeeper import Gatekeeper
from libs.common.errors import FORBIDDEN, INVALID_INPUT, MUTED, PresenceError
from services.realtime.clients.things import Things
from services.realtime.cluster.presence import Presence
from services.realtime.naf.adapter import NafAdapter
from services.realtime.naf.removals import REMOVAL
from services.realtime.poses.ticker import PoseTicker
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Handler, Place
from services.realtime.rooms.speech import is_open, require_avatar, require_open, require_voice, require_words
from services.realtime.space.entities import REMOVE, SPAWN
from services.realtime.space.peers import Peers
from services.realtime.space.voice_states import VoiceStates
from services.realtime.transport.packets import EventPacket

MAX_REMOVAL_BYTES = 512  # of a removal that is taken beyond the budgets
POSE_BYTES = 1024  # of a pose, that cost its account and address nothing: moving about is what everybody does


def free_of_charge(event: str) -> int:
    """Returns how many bytes of a signal an account's and an address' sockets may relay beside their budget."""
    return POSE_BYTES if event == "aframe-update" else 0


def is_removal(event: str, payload: bytes) -> bool:
    """Returns whether a signal is networked-aframe's removal of an entity, which nobody says again if it is lost."""
    if event not in ("send", "broadcast") or len(payload) > MAX_REMOVAL_BYTES:
        return False
    try:
        return msgspec.json.decode(payload, type=NafPacket).type == REMOVAL
    except msgspec.MsgspecError:
        return False


def check_avatar(avatar_data: Any) -> None:
    """Raises `invalid_input` for avatar data that is too large."""
    if len(msgspec.json.encode(avatar_data)) > MAX_AVATAR_BYTES:
        raise PresenceError(INVALID_INPUT, f"avatar_data is at most {MAX_AVATAR_BYTES} bytes of JSON.")


class Signals:
    """`table` maps an event name to its payload's struct and its handler."""

    def __init__(
        self,
        peers: Peers,
        poses: PoseTicker,
        presence_state: Presence,
        voice_states: VoiceStates,
        gatekeeper: Gatekeeper,
        naf: NafAdapter,
        things: Things,
    ) -> None:
        self._peers = peers
        self._poses = poses
        self._presence = presence_state
        self._voice_states = voice_states
        self._gatekeeper = gatekeeper
        self.table: dict[str, tuple[type, Handler]] = {
            "time": (Nothing, self.time),
            "send": (presence.NafPacket, naf.send),
            "broadcast": (presence.NafPacket, naf.broadcast),
            "aframe-update": (AframeUpdate, self.aframe_update),
            "entity-event": (EntityEvent, self.entity_event),
            "chat-typing": (presence.Typing, self.chat_typing),
            "avatar-update": (presence.AvatarUpdate, self.avatar_update),
            "auth-refresh": (AuthRefresh, self.auth_refresh),
            "voice-state": (voice.VoiceState, self.voice_state),
            **things.table,
            "webrtc-offer": (voice.Offer, self.webrtc),
            "webrtc-answer": (voice.Answer, self.webrtc),
            "webrtc-ice-candidate": (voice.IceCandidate, self.webrtc),
        }

    def blame(self, client: Client, sender: str) -> None:
        """Has a socket pay for what it made a client leave unread."""
        self._peers.blame(client, sender)

    async def time(self, _: Client, __: Nothing) -> dict[str, Any]:
        """Returns the server's clock, Unix time in milliseconds."""
        return {"time": time.time_ns() // 1_000_000}

    async def aframe_update(self, client: Client, update: AframeUpdate) -> dict[str, Any]:
        self.take_pose(client, update)
        return {}

    def take_pose(self, client: Client, update: AframeUpdate) -> None:
        """Takes a pose, without what may not be said in it: who moves goes on moving, and is told once.

        Where entities in poses are closed, that is those and further fields; of a muted member further fields.
        """
        place = client.inside()
        if update.entities or further_fields(update):
            update = self._without_unsaid(client, place, update)
        self._poses.put(place, update)

    def _without_unsaid(self, client: Client, place: Place, update: AframeUpdate) -> AframeUpdate:
        refusal = None
        if not is_open(place, FreeChannel.POSE_ENTITIES):
            refusal = PresenceError(FORBIDDEN, "Poses are taken without entities and further fields in this space.")
        elif place.authorization.muted and further_fields(update):
            refusal = PresenceError(MUTED, "You are muted: your poses are taken without further fields.")
        if refusal is None:
            return update
        if refusal.kind.code not in place.told_of_poses:
            place.told_of_poses.add(refusal.kind.code)
            Broadcast.to_one(client, EventPacket("space-error", refusal.to_wire()))
        entities = update.entities if refusal.kind is MUTED else UNSET
        return AframeUpdate(update.position, update.rotation, entities)

    async def entity_event(self, client: Client, event: EntityEvent) -> dict[str, Any]:
        self.relay_entity_event(client, event)
        return {}

    def relay_entity_event(self, client: Client, event: EntityEvent) -> None:
        """Raises `invalid_input`, `conflict` or `forbidden` for a refused change of an entity, `not_found` for `to`.

        Where entity events are closed it is `forbidden`; a muted member's are `muted`, but for its own entities, shown
        to all. To one alone a spawn or removal is a message like any other, and bound to who owns the entity.
        """
        place = client.inside()
        require_open(place, FreeChannel.ENTITY_EVENTS)
        is_about_entity = event.name in (SPAWN, REMOVE)
        if event.to is not None or not is_about_entity:
            require_words(place)
        member = place.member
        stamped = presence.EntityEventOut(member.socket_id, member.user_account, event.name, event.data)
        if event.to is None:
            self._peers.share_entity(client, stamped)
            return
        if is_about_entity:
            self._peers.check_entity(client, stamped)
        self._peers.to_one(place, event.to, "entity-event", stamped, lasts=is_about_entity)

    async def chat_typing(self, client: Client, typing: presence.Typing) -> dict[str, Any]:
        place = client.inside()
        require_words(place)
        member = place.member
        stamped = presence.TypingOut(member.socket_id, member.user_account, member.display_name, typing.typing)
        self._peers.to_others(place, "chat-typing", stamped)
        return {}

    async def avatar_update(self, client: Client, update: presence.AvatarUpdate) -> dict[str, Any]:
        """Changes the avatar for those present and for later joiners.

        Raises `unavailable` while Redis is away, `forbidden` where avatars are closed, `muted` for new text in it.
        """
        place = client.inside()
        check_avatar(update.avatar_data)
        require_avatar(place, update.avatar_data)
        place.member.avatar_data = update.avatar_data
        self._peers.space(place).roster.set_avatar(place.member.socket_id, update.avatar_data)
        await self._presence.update(place.space, place.member)
        stamped = presence.AvatarUpdated(place.member.socket_id, place.member.user_account, update.avatar_data)
        self._peers.to_others(place, "avatar-updated", stamped, lasts=True)
        return {}

    async def auth_refresh(self, client: Client, refresh: AuthRefresh) -> dict[str, Any]:
        """Raises `forbidden` for another identity's token, `unauthorized` or `session_expired` for a bad one."""
        token = await self._gatekeeper.identify(refresh.token, client.address)
        if token.identity.key != client.token.identity.key:
            raise PresenceError(FORBIDDEN, "The token is another identity's; connect with it instead.")
        client.token = token
        return {"expires_at": token.expires_at}

    async def voice_state(self, client: Client, state: voice.VoiceState) -> dict[str, Any]:
        """Raises `muted`, `forbidden` where voice is switched off, `unavailable` while Redis is away.

        Later joiners see it, but not who is speaking at that moment.
        """
        place = client.inside()
        if state.enabled or state.screen:
            require_voice(place)
        await self._voice_states.set(place, state)
        return {}

    async def webrtc(self, client: Client, signal: voice.Offer | voice.Answer | voice.IceCandidate) -> dict[str, Any]:
        """Relays to one socket in the same subspace.

        Raises `not_found` for another socket, `muted`, and `forbidden` where voice is off.
        """
        place = client.inside()
        require_voice(place)
        stamped = voice.Signalled(place.member.socket_id, place.member.user_account, signal.media)
        event = _carry(signal, stamped)
        self._peers.to_one(place, signal.target_socket_id, event, stamped)
        return {}


def _carry(signal: voice.Offer | voice.Answer | voice.IceCandidate, stamped: voice.Signalled) -> str:
    """Copies the description or candidate, unread, and returns the name of its event."""
    if isinstance(signal, voice.Offer):
        stamped.offer = signal.offer
        return "webrtc-offer"
    if isinstance(signal, voice.Answer):
        stamped.answer = signal.answer
        return "webrtc-answer"
    stamped.candidate = signal.candidate
    return "webrtc-ice-candidate"
