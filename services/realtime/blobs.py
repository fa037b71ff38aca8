"""A tick's poses as bytes, from which one's own is cut without copying the rest."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from libs.common.contracts.presence import AframeUpdate
from services.realtime.engine import frame, frame_header
from services.realtime.frames import prefix

_encode = msgspec.json.Encoder().encode

type Parts = Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Pose:
    """`data` is the `entityData` as JSON; `state` what it was made of, for this replica's own members."""

    socket_id: str
    user_account: str | None
    data: bytes
    state: AframeUpdate | None = None


class Frames:
    """One `aframe-update` frame a pose, one after the other."""

    def __init__(self, poses: Mapping[str, Pose], timestamp: str, namespace: str) -> None:
        head = b"42" + prefix(namespace) + b'["aframe-update",{"socketId":'
        tail = b',"timestamp":"' + timestamp.encode() + b'"}]'
        self._payloads = {sid: head + _told(pose) + tail for sid, pose in poses.items()}
        self._spans: dict[str, tuple[int, int]] = {}
        whole = bytearray()
        for sid, payload in self._payloads.items():
            start = len(whole)
            whole += frame(payload)
            self._spans[sid] = (start, len(whole))
        self._whole = bytes(whole)
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
    """One `aframe-batch {t, poses: [[socketId, entityData], ...], gone: [socketId, ...]}`; `t` in ms of Unix time."""

    def __init__(self, poses: Mapping[str, Pose], gone: Sequence[str], namespace: str) -> None:
        milliseconds = time.time_ns() // 1_000_000
        head = b"42" + prefix(namespace) + b'["aframe-batch",{"t":%d,"poses":[' % milliseconds
        tail = b'],"gone":' + _encode(gone) + b"}]"
        parts = [b"[" + _encode(sid) + b"," + pose.data + b"]" for sid, pose in poses.items()]
        body = b",".join(parts)
        self._head, self._tail, self._body = head, tail, memoryview(body)
        self._spans = _spans(poses, parts)
        self._whole = frame(head + body + tail)

    def without(self, socket_id: str) -> Parts:
        span = self._spans.get(socket_id)
        if span is None:
            return (self._whole,)
        left, right = self._body[: span[0]], self._body[span[1] :]
        size = len(self._head) + len(left) + len(right) + len(self._tail)
        return (frame_header(size) + self._head, left, right, self._tail)


def _spans(poses: Mapping[str, Pose], parts: Sequence[bytes]) -> dict[str, tuple[int, int]]:
    """Where each part lies in the body, with the comma that goes with it."""
    spans: dict[str, tuple[int, int]] = {}
    position, last = 0, len(parts) - 1
    for number, (sid, part) in enumerate(zip(poses, parts, strict=True)):
        end = position + len(part)
        if number < last:
            spans[sid] = (position, end + 1)  # and the comma behind
        else:
            spans[sid] = (max(position - 1, 0), end)  # and the comma before
        position = end + 1
    return spans
