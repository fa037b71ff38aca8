"""A tick's poses as bytes, from which one's own is cut without copying the rest."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from libs.common.contracts.presence import AframeUpdate, Position
from services.realtime.poses import compact
from services.realtime.transport.engine import BINARY, frame, frame_header
from services.realtime.transport.packets import prefix

_encode = msgspec.json.Encoder().encode

type Parts = Sequence[bytes | memoryview]
type Span = tuple[int, int]


class _Positioned(msgspec.Struct):
    position: Position | None = None


class _WithEntities(msgspec.Struct):
    entities: dict[str, Any] = {}


_decode_position = msgspec.json.Decoder(_Positioned).decode
_decode_entities = msgspec.json.Decoder(_WithEntities).decode
_NO_ENTITIES: Mapping[str, Any] = {}


class Pose:
    """`data` is the `entityData` as JSON; `state` what it was made of, for this replica's own members.

    `position`, `packed` and `entities` are found when first asked for, and then kept.
    """

    __slots__ = ("_entities", "_packed", "_position", "data", "socket_id", "state", "user_account")

    def __init__(
        self, socket_id: str, user_account: str | None, data: bytes, state: AframeUpdate | None = None
    ) -> None:
        self.socket_id = socket_id
        self.user_account = user_account
        self.data = data
        self.state = state
        self._position: Position | UnsetType | None = UNSET
        self._packed: bytes | UnsetType | None = UNSET
        self._entities: Mapping[str, Any] | None = None

    @property
    def entities(self) -> Mapping[str, Any]:
        """What it says of entities, by id."""
        if self._entities is None:
            self._entities = _decode_entities(self.data).entities if b'"entities"' in self.data else _NO_ENTITIES
        return self._entities

    @property
    def position(self) -> Position | None:
        """None for one that says nothing of it; the same object every time."""
        if self._position is UNSET:
            known = self.state.position if self.state else _decode_position(self.data).position
            self._position = None if known is UNSET else known
        return self._position

    @property
    def packed(self) -> bytes | None:
        """The compact form without its number; None if it does not fit."""
        if self._packed is UNSET:
            self._packed = compact.pack(self.state) if self.state else compact.pack_json(self.data)
        return self._packed


class PoseEvents:
    """One `aframe-update` frame a pose, one after the other."""

    def __init__(self, poses: Mapping[str, Pose], timestamp: str, namespace: str) -> None:
        head = b"42" + prefix(namespace) + b'["aframe-update",{"socketId":'
        tail = b',"timestamp":"' + timestamp.encode() + b'"}]'
        self._payloads = {sid: head + _told(pose) + tail for sid, pose in poses.items()}
        frames = [frame(payload) for payload in self._payloads.values()]
        self._spans = _spans(poses, frames)
        self._whole = b"".join(frames)
        self._view = memoryview(self._whole)

    def without(self, socket_id: str) -> Parts:
        span = self._spans.get(socket_id)
        if span is None:
            return (self._whole,)
        return tuple(part for part in (self._view[: span[0]], self._view[span[1] :]) if part)

    def packets(self) -> Iterator[tuple[str, str]]:
        """Each as text without its Engine.IO type, for a socket that polls."""
        for sid, payload in self._payloads.items():
            yield sid, payload[1:].decode()


def _told(pose: Pose) -> bytes:
    account = _encode(pose.user_account)
    return b"".join((_encode(pose.socket_id), b',"userAccount":', account, b',"entityData":', pose.data))


class Batch:
    """One `aframe-batch {t, poses: [[socketId, entityData], ...], gone: [socketId], away: [socketId]}`; `t` in ms of
    Unix time; `away`, only where there is any, are out of range.

    `also` are further fields; `type` is the Engine.IO and Socket.IO packet type, with a count of attachments.
    """

    def __init__(
        self,
        poses: Mapping[str, Pose],
        gone: Sequence[str],
        away: Sequence[str],
        namespace: str,
        also: bytes = b"",
        type: bytes = b"42",
    ) -> None:
        milliseconds = time.time_ns() // 1_000_000
        head = type + prefix(namespace) + b'["aframe-batch",{"t":%d,"poses":[' % milliseconds
        out_of_range = b',"away":' + _encode(away) if away else b""
        tail = b'],"gone":' + _encode(gone) + out_of_range + also + b"}]"
        parts = [b"[" + _encode(sid) + b"," + pose.data + b"]," for sid, pose in poses.items()]
        body = b"".join(parts)
        self._head = head
        self._tail = tail
        self._body = memoryview(body)
        self._spans = _spans(poses, parts)
        self._whole = frame(head + body[:-1] + tail)

    def without(self, socket_id: str) -> Parts:
        span = self._spans.get(socket_id)
        if span is None:
            return (self._whole,)
        left, right = self._body[: span[0]], self._body[span[1] :]
        if right:
            right = right[:-1]  # the last comma
        else:
            left = left[:-1]
        size = len(self._head) + len(left) + len(right) + len(self._tail)
        return (frame_header(size) + self._head, left, right, self._tail)


class CompactBatch:
    """A batch with `compact`, an attachment of 16 bytes a pose (`compact.py`); only poses that do not fit are JSON.

    `names` are pairs of number and socketId that its reader has not been told yet; `numbers` are all of them.
    """

    def __init__(
        self,
        poses: Mapping[str, Pose],
        gone: Sequence[str],
        away: Sequence[str],
        names: Sequence[tuple[int, str]],
        numbers: Mapping[str, int],
        namespace: str,
    ) -> None:
        small = {sid: pose.packed for sid, pose in poses.items() if pose.packed is not None and sid in numbers}
        large = {sid: pose for sid, pose in poses.items() if sid not in small}
        records = [numbers[sid].to_bytes(2, "little") + packed for sid, packed in small.items()]
        self._spans = _spans(small, records)
        body = b"".join(records)
        self._body = memoryview(body)
        self._header = frame_header(max(len(body) - compact.SIZE, 0), BINARY)
        self._whole = frame(body, BINARY) if records else b""
        also = b',"names":' + _encode(names)
        if records:
            also += b',"compact":{"_placeholder":true,"num":0}'
        self._text = Batch(large, gone, away, namespace, also, b"451-" if records else b"42")

    def without(self, socket_id: str) -> Parts:
        text, span = self._text.without(socket_id), self._spans.get(socket_id)
        if span is None:
            return (*text, self._whole) if self._whole else text
        return (*text, self._header, self._body[: span[0]], self._body[span[1] :])


def _spans(names: Mapping[str, object], parts: Sequence[bytes]) -> dict[str, Span]:
    """Returns the span of each part once they are joined."""
    spans: dict[str, Span] = {}
    position = 0
    for name, part in zip(names, parts, strict=True):
        spans[name] = (position, position + len(part))
        position += len(part)
    return spans
