"""Takes the signals that come many times a second on the shortest way: one prefix test, one decoding, no task."""

from collections.abc import Callable
from typing import Any

import msgspec

from libs.common.contracts.presence import EntityEvent, read_update
from libs.common.edge.nesting import is_too_deep
from libs.common.errors import PresenceError
from services.realtime.clients.signals import POSE_BYTES, Signals
from services.realtime.rooms.client import Client
from services.realtime.transport.engine import frame
from services.realtime.transport.server import MAX_MESSAGE

LONGEST_ACK_ID = 20  # digits
_POSE = '["aframe-update",'
_decode = msgspec.json.Decoder().decode
_decode_entity_event = msgspec.json.Decoder(EntityEvent).decode

type HotSignal = tuple[str, Callable[[str], Any], Callable[[Client, Any], None]]  # its beginning, decoder, handler


class HotSignals:
    """Refuses nothing itself: a signal with anything wrong about it is left to the long way, which answers it."""

    def __init__(self, signals: Signals) -> None:
        self._table: tuple[HotSignal, ...] = (
            (_POSE, read_update, signals.take_pose),
            ('["entity-event",', _read_entity_event, signals.relay_entity_event),
        )

    def take(self, client: Client, text: str) -> bool:
        """Returns whether the Engine.IO message was a hot signal, and dealt with."""
        bracket = text.find("[", 2, 2 + LONGEST_ACK_ID)
        ack_id = text[2:bracket]
        if not client.is_inside or len(text) > MAX_MESSAGE or not text.startswith("42") or bracket < 0:
            return False
        if ack_id and not ack_id.isdecimal():
            return False
        for start, decode, handle in self._table:
            if text.startswith(start, bracket):
                is_pose = start == _POSE and not ack_id
                exceeds = client.exceeds_poses() if is_pose else client.exceeds_signals()
                if exceeds or client.exceeds_relayed(len(text), POSE_BYTES if start == _POSE else 0):
                    return is_pose  # the latest pose counts, and another is near
                if is_too_deep(text):
                    return False
                try:
                    handle(client, decode(text[bracket + len(start) : -1]))
                except (msgspec.MsgspecError, PresenceError):
                    return False
                client.insistence.taken()
                if ack_id:
                    client.engine.write(frame(f'43{ack_id}[{{"ok":true}}]'.encode()))
                return True
        return False


def _read_entity_event(text: str) -> EntityEvent:
    """Decodes an event whose `data` stays JSON. Reads `data` once: others could not read a number out of range."""
    event = _decode_entity_event(text)
    _decode(event.data)
    return event
