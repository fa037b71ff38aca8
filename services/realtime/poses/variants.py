"""Encodes one tick's poses in the forms that the clients of a room want, each when it is first needed."""

from collections.abc import Mapping, Sequence
from enum import Enum

from services.realtime.poses.encoding import Batch, CompactBatch, Pose, PoseEvents
from services.realtime.rooms.client import Client, PoseForm


class Variants:
    """`gone`, `away` (out of range) and `names` are told to clients that take batches."""

    def __init__(
        self,
        poses: Mapping[str, Pose],
        timestamp: str,
        numbers: Mapping[str, int],
        *,
        gone: Sequence[str] = (),
        names: Sequence[tuple[int, str]] = (),
        away: Sequence[str] = (),
    ) -> None:
        self._poses = poses
        self._timestamp = timestamp
        self._numbers = numbers
        self._gone = gone
        self._names = names
        self._away = away
        self._made: dict[tuple[Enum, str], PoseEvents | Batch | CompactBatch] = {}

    def send(self, client: Client) -> None:
        """Sends the poses to one client; to one that polls as legacy events, one by one."""
        form = client.place.form if client.place else PoseForm.LEGACY
        if client.engine.transport is None:
            self._queue(client)
        elif self._poses or self._has_more_for(form):
            client.engine.write_parts(self._in(form, client.namespace).without(client.sid))

    def _has_more_for(self, form: PoseForm) -> bool:
        """Returns whether there is more to tell than poses, such as a number, which is told once and used later."""
        news = self._gone or self._away or (form is PoseForm.COMPACT and self._names)
        return form is not PoseForm.LEGACY and bool(news)

    def _in(self, form: PoseForm, namespace: str) -> PoseEvents | Batch | CompactBatch:
        made = self._made.get((form, namespace))
        if made is None:
            made = self._made[form, namespace] = self._make(form, namespace)
        return made

    def _make(self, form: PoseForm, namespace: str) -> PoseEvents | Batch | CompactBatch:
        if form is PoseForm.COMPACT:
            return CompactBatch(self._poses, self._gone, self._away, self._names, self._numbers, namespace)
        if form is PoseForm.BATCH:
            return Batch(self._poses, self._gone, self._away, namespace)
        return PoseEvents(self._poses, self._timestamp, namespace)

    def _queue(self, client: Client) -> None:
        for socket_id, packet in PoseEvents(self._poses, self._timestamp, client.namespace).packets():
            if socket_id != client.sid:
                client.engine.queue_message(packet)
