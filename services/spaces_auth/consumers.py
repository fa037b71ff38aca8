"""What becomes of an event of the log here: the access epoch first, then activity."""

from collections.abc import Sequence

from libs.common.contracts.log import LoggedEvent
from services.spaces_auth.analytics.activity import ActivityRecorder
from services.spaces_auth.moderation.access_epochs import Epochs


class Consumers:
    def __init__(self, epochs: Epochs, activity: ActivityRecorder) -> None:
        self._epochs, self._activity = epochs, activity

    async def on_events(self, events: Sequence[LoggedEvent]) -> None:
        """Both may be asked twice. Raises `unavailable` while Redis or the database is away."""
        for event in events:
            await self._epochs.on_event(event)
        await self._activity.on_events(events)
