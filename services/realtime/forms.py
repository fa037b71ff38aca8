"""The same poses in the forms that the clients of a room want, each made when first needed."""

from collections.abc import Mapping, Sequence
from enum import Enum

from services.realtime.blobs import Batch, CompactBatch, Frames, Pose
from services.realtime.sessions import PoseForm, Session


class Forms:
    """`gone`, `away` (out of range) and `names` are told to clients that take batches."""

    def __init__(
        self, poses: Mapping[str, Pose], timestamp: str, numbers: Mapping[str, int], *, gone: Sequence[str] = (),
        names: Sequence[tuple[int, str]] = (), away: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._poses, self._timestamp, self._numbers = poses, timestamp, numbers
        self._gone, self._names, self._away = gone, names, away
        self._made: dict[tuple[Enum, str], Frames | Batch | CompactBatch] = {}

    def send(self, session: Session) -> None:
        """To one socket; to one that polls as legacy events, one by one."""
        form = session.place.form if session.place else PoseForm.LEGACY
        if session.engine.transport is None:
            self._queue(session)
        elif self._poses or self._has_more_for(form):
            session.engine.write_parts(self._in(form, session.namespace).without(session.sid))

    def _has_more_for(self, form: PoseForm) -> bool:
        """Also of a member that is not near: its number is told once, and used later."""
        told = self._gone or self._away or (form is PoseForm.COMPACT and self._names)
        return form is not PoseForm.LEGACY and bool(told)

    def _in(self, form: PoseForm, namespace: str) -> Frames | Batch | CompactBatch:
        made = self._made.get((form, namespace))
        if made is None:
            made = self._made[form, namespace] = self._make(form, namespace)
        return made

    def _make(self, form: PoseForm, namespace: str) -> Frames | Batch | CompactBatch:
        if form is PoseForm.COMPACT:
            return CompactBatch(self._poses, self._gone, self._away, self._names, self._numbers, namespace)
        if form is PoseForm.BATCH:
            return Batch(self._poses, self._gone, self._away, namespace)
        return Frames(self._poses, self._timestamp, namespace)

    def _queue(self, session: Session) -> None:
        for socket_id, packet in Frames(self._poses, self._timestamp, session.namespace).packets():
            if socket_id != session.sid:
                session.engine.queue_message(packet)
