"""Answers the five views of analytics, each over at most 30 days, and takes the clients' connection reports."""

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
from libs.common.errors import FORBIDDEN, NOT_FOUND, PresenceError
from libs.common.metrics import WEBRTC_REPORTS
from libs.common.roles import is_operator
from libs.common.spaces import SpaceKey
from services.spaces_auth.analytics import analytics_repository as repository


class AnalyticsHandlers:
    """The views are for a space's owner and for operators.

    Each raises `forbidden` for everybody else, and `not_found` for a space that the caller may not see.
    """

    def __init__(self, database: Database, operators: tuple[str, ...]) -> None:
        self._database = database
        self._operators = operators

    async def popular(self, caller: Caller, request: AnalyticsQuery) -> Popular:
        """Returns spaces by how many people came."""
        async with self._database.read() as connection:
            space = await self._require(connection, caller, request)
            return Popular(await repository.popular(connection, space, request))

    async def engagement(self, caller: Caller, request: AnalyticsQuery) -> Engagement:
        """Returns visits, people, messages and stays by day."""
        async with self._database.read() as connection:
            space = await self._require(connection, caller, request)
            return Engagement(await repository.engagement(connection, space, request))

    async def voice(self, caller: Caller, request: AnalyticsQuery) -> VoiceQuality:
        """Returns by day how many calls were connected, and how."""
        async with self._database.read() as connection:
            space = await self._require(connection, caller, request)
            return VoiceQuality(await repository.voice(connection, space, request))

    async def documents(self, caller: Caller, request: AnalyticsQuery) -> DocumentActivities:
        """Returns documents by how many people came, with their comments."""
        async with self._database.read() as connection:
            space = await self._require(connection, caller, request)
            return DocumentActivities(await repository.documents(connection, space, request))

    async def movement(self, caller: Caller, request: AnalyticsQuery) -> Movement:
        """Returns from which space people go to which."""
        async with self._database.read() as connection:
            space = await self._require(connection, caller, request)
            return Movement(await repository.movement(connection, space, request))

    async def report_connection(self, caller: Caller, request: ConnectionReport) -> Empty:
        """Stores a report, of its space where it names one. Raises as `Standing.require` does for entering it."""
        WEBRTC_REPORTS.labels(request.outcome, request.path).inc()
        space = _space_of(request)
        async with self._database.transaction() as connection:
            if space:
                standing = await access.look(connection, caller.identity, space, self._operators, caller.address)
                standing.require(Action.ENTER)
            await repository.insert_report(connection, space, request)
        return Empty()

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
