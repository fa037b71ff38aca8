"""Keeps the state of members' microphones and screens, and tells the others of it."""

from libs.common.contracts.voice import VoiceState, VoiceStateOut
from libs.common.errors import MUTED, PresenceError
from services.realtime.cluster.presence import Presence
from services.realtime.rooms.broadcast import Broadcast
from services.realtime.rooms.client import Client, Place
from services.realtime.space.peers import Peers
from services.realtime.transport.packets import EventPacket


class VoiceStates:
    def __init__(self, peers: Peers, presence: Presence) -> None:
        self._peers = peers
        self._presence = presence

    async def set(self, place: Place, state: VoiceState) -> None:
        """Shows a member's state to the others, and to later joiners but for who is speaking at that moment.

        Raises `unavailable` while Redis is away.
        """
        member = place.member
        kept = VoiceState(state.enabled, state.muted, screen=state.screen)
        if kept != member.voice:
            member.voice = kept
            self._peers.space(place).roster.set_voice(member.socket_id, kept)
            await self._presence.update(place.space, member)
        self._peers.to_others(place, "voice-state", _stamped(place, state))

    async def silence(self, client: Client) -> None:
        """Tells a client that it was muted, and the others that its microphone and screen are off."""
        Broadcast.to_one(client, EventPacket("space-error", PresenceError(MUTED).to_wire()))
        place = client.place
        voice = place.member.voice if place else None
        if place and voice and (voice.enabled or voice.screen):
            off = VoiceState(enabled=False, muted=True)
            Broadcast.to_one(client, EventPacket("voice-state", _stamped(place, off)))
            await self.set(place, off)


def _stamped(place: Place, state: VoiceState) -> VoiceStateOut:
    return VoiceStateOut(
        state.enabled,
        state.muted,
        state.speaking,
        state.screen,
        socket_id=place.member.socket_id,
        user_account=place.member.user_account,
    )
