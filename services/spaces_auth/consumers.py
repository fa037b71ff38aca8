"""Consumes every event of the log: raises the access epoch first, then fills the audit trail and records activity."""

from collections.abc import Sequence

from libs.common.contracts.log import LoggedEvent
from services.spaces_auth.analytics.activity import ActivityRecorder
from services.spaces_auth.moderation.access_epochs import AccessEpochs
from services.spaces_auth.moderation.content_audit import ContentAudit


class Consumers:
    """The service's consumers of events, in the order in which they run."""

    def __init__(self, epochs: AccessEpochs, audit: ContentAudit, activity: ActivityRecorder) -> None:
        self._epochs = epochs
        self._audit = audit
        self._activity = activity

    async def on_events(self, events: Sequence[LoggedEvent]) -> None:
        """Handles a batch; idempotent. Raises `unavailable` while Redis or the database is away."""
        for event in events:
            await self._epochs.on_event(event)
        await self._audit.on_events(events)
        await self._activity.on_events(events)
