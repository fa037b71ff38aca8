"""Reads the log, for replicas and clients that missed events."""

from libs.common.bus.base import Caller
from libs.common.contracts.log import Events, EventsSince, HeadNumbers, Heads
from libs.common.db.engine import Database
from libs.common.db.event_log import read_after, read_head, read_heads
from libs.common.spaces import SpaceKey


class HistoryHandlers:
    """For our own services only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events_since(self, _: Caller, request: EventsSince) -> Events:
        """Returns the space's events after a `seq`, oldest first, and its head at the same moment."""
        space = SpaceKey.parse(request.space_type, request.space_id)
        async with self._database.read(snapshot=True) as connection:
            head = await read_head(connection, space)
            return Events(await read_after(connection, space, request.after_seq, request.limit), head)

    async def heads(self, _: Caller, request: Heads) -> HeadNumbers:
        """Returns the newest `seq` of each space, or the one after which it will begin."""
        spaces = [SpaceKey.from_text(text) for text in request.spaces]
        async with self._database.read() as connection:
            heads = await read_heads(connection, spaces)
        return HeadNumbers({str(space): heads[space] for space in spaces})
