"""What a client may send, by event: examples of AsyncAPI and of the playground."""

from collections.abc import Mapping
from typing import Any

_MESSAGE = "0198c0de-0000-7000-8000-000000000001"
_SOCKET = "r1-4f2aQ9bXc1"
_POSITION = {"x": 0, "y": 1.6, "z": -2}
_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

EXAMPLES: Mapping[str, tuple[dict[str, Any], ...]] = {
    "join-space": (
        {"spaceType": "global", "spaceId": "lobby", "position": _POSITION},
        {"spaceType": "post", "spaceId": "bob/sculpture-hall", "after_seq": 41, "features": ["pose-batch"]},
    ),
    "leave-space": ({},),
    "aframe-update": ({"position": _POSITION, "rotation": {"x": 0, "y": 90, "z": 0}},),
    "entity-event": (
        {"name": "spawn", "data": {"id": "cube", "position": _POSITION, "colour": "#b4321e"}},
        {"name": "remove", "data": {"id": "cube"}},
    ),
    "thing-make": ({"id": "ball", "state": {"at": [0, 1, 0]}},),
    "thing-hold": ({"id": "ball"},),
    "thing-set": ({"id": "ball", "state": {"at": [3, 1, 0]}},),
    "thing-release": ({"id": "ball"},),
    "thing-remove": ({"id": "ball"},),
    "chat-message": (
        {"content": "Hello"},
        {"content": "In a thread", "parent_message_id": _MESSAGE},
    ),
    "chat-edit": ({"messageId": _MESSAGE, "content": "Hello, all"},),
    "chat-delete": ({"messageId": _MESSAGE},),
    "chat-reaction": (
        {"messageId": _MESSAGE, "reaction": "👍"},
        {"messageId": _MESSAGE, "reaction": "👍", "remove": True},
    ),
    "chat-read": ({"messageId": _MESSAGE},),
    "chat-typing": ({"typing": True},),
    "avatar-update": ({"avatar_data": {"model": "robot", "colour": "#b4321e"}},),
    "auth-refresh": ({"token": "eyJhbGciOiJFZERTQSJ9.e30.c2lnbmF0dXJl"},),
    "voice-state": ({"enabled": True, "muted": False},),
    "webrtc-offer": ({"targetSocketId": _SOCKET, "offer": {"type": "offer", "sdp": _SDP}},),
    "webrtc-answer": ({"targetSocketId": _SOCKET, "answer": {"type": "answer", "sdp": _SDP}},),
    "webrtc-ice-candidate": (
        {
            "targetSocketId": _SOCKET,
            "candidate": {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0"},
        },
    ),
    "time": ({},),
    "joinRoom": ({"room": "global:lobby:main"},),
    "send": ({"to": _SOCKET, "type": "wave", "data": {"hand": "left"}},),
    "broadcast": ({"type": "wave", "data": {"hand": "left"}},),
}
