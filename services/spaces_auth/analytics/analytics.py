"""Answers the five views of analytics, each over at most 30 days, and takes the clients' connection reports.

The views have a few connections of their own, so that they can take none from logins and joins.
"""

from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common import access
from libs.common.access import Action
from libs.common.bus.base import Caller
from libs.common.contracts.analytics import (
    AnalyticsQuery,
    DocumentActivities,
    Engagement,
    Movement,
    Popular,
    VoiceQuality,
)
from libs.common.contracts.auth import Empty
from libs.common.contracts.voice import ConnectionReport
from libs.common.db.engine import Database
from libs.common.errors import FORBIDDEN, NOT_FOUND, RATE_LIMITED, PresenceError
from libs.common.metrics import WEBRTC_REPORTS
from libs.common.roles import is_operator
from libs.common.spaces import SpaceKey
from services.spaces_auth.analytics import analytics_repository as repository

type View[Row] = Callable[[AsyncConnection, SpaceKey | None, AnalyticsQuery], Awaitable[list[Row]]]


class AnalyticsHandlers:
    """The views are for a space's owner and for operators.

    Each raises `forbidden` for everybody else, and `not_found` for a space that the caller may not see.
    """

    def __init__(self, database: Database, for_analytics: Database, operators: tuple[str, ...]) -> None:
        self._database = database
        self._for_analytics = for_analytics
        self._operators = operators
        self._asking: set[str] = set()  # the `Identity.key` of those whose question is not answered yet

    async def popular(self, caller: Caller, request: AnalyticsQuery) -> Popular:
        """Returns spaces by how many people came."""
        return Popular(await self._answer(repository.popular, caller, request))

    async def engagement(self, caller: Caller, request: AnalyticsQuery) -> Engagement:
        """Returns visits, people, messages and stays by day."""
        return Engagement(await self._answer(repository.engagement, caller, request))

    async def voice(self, caller: Caller, request: AnalyticsQuery) -> VoiceQuality:
        """Returns by day how many calls were connected, and how."""
        return VoiceQuality(await self._answer(repository.voice, caller, request))

    async def documents(self, caller: Caller, request: AnalyticsQuery) -> DocumentActivities:
        """Returns documents by how many people came, with their comments."""
        return DocumentActivities(await self._answer(repository.documents, caller, request))

    async def movement(self, caller: Caller, request: AnalyticsQuery) -> Movement:
        """Returns from which space people go to which."""
        return Movement(await self._answer(repository.movement, caller, request))

    async def report_connection(self, caller: Caller, request: ConnectionReport) -> Empty:
        """Counts a report, for its space where it names one. Raises as `Standing.require` does for entering it."""
        WEBRTC_REPORTS.labels(request.outcome, request.path).inc()
        space = _space_of(request)
        async with self._database.transaction() as connection:
            if space:
                standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
                standing.require(Action.ENTER)
            await repository.count_report(connection, space, request)
        return Empty()

    async def _answer[Row](self, view: View[Row], caller: Caller, request: AnalyticsQuery) -> list[Row]:
        """Returns the rows of a view. Raises `rate_limited` while the caller's last question is not answered."""
        asking = caller.identity.key
        if asking in self._asking:
            raise PresenceError(RATE_LIMITED, "One question to analytics at a time.", {"retry_after": 1})
        self._asking.add(asking)
        try:
            async with self._for_analytics.read() as connection:
                return await view(connection, await self._require(connection, caller, request), request)
        finally:
            self._asking.discard(asking)

    async def _require(self, connection: AsyncConnection, caller: Caller, request: AnalyticsQuery) -> SpaceKey | None:
        """Returns the space asked about, None for all of them, if the caller may see its numbers."""
        space = _space_of(request)
        if space:
            standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
            standing.require(Action.ANALYSE)
        elif not is_operator(caller.identity, self._operators):
            raise PresenceError(FORBIDDEN, "Name a space of yours; all spaces are for operators.")
        return space


def _space_of(request: AnalyticsQuery | ConnectionReport) -> SpaceKey | None:
    if request.space_type is None and request.space_id is None:
        return None
    if request.space_type is None or request.space_id is None:
        raise PresenceError(NOT_FOUND, "A space is named by space_type and space_id together.")
    return SpaceKey.parse(request.space_type, request.space_id)
