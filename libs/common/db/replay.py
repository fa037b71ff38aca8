"""Gives a service events again, in that service's own environment and by its own login:

    python -m libs.common.db.replay dead                          what its consumer gave up on
    python -m libs.common.db.replay log post:bob/my-post 10 20    the log's events 10 to 20 of a space

They go to that service alone. Consumers deduplicate by the event's id, so what was handled before is not done twice.
"""

import asyncio
import sys
from collections.abc import Sequence

from libs.common import settings
from libs.common.bus.again import Again
from libs.common.db.engine import Database
from libs.common.db.event_log import read_after
from libs.common.errors import PresenceError
from libs.common.settings import CommonSettings, DatabaseSettings, SettingsError
from libs.common.spaces import SpaceKey

PAGE = 500  # events read at a time


async def replay_log(again: Again, database: Database, space: SpaceKey, first: int, last: int) -> int:
    """Publishes the space's events from `first` to `last` to the group, and returns their number."""
    count, after = 0, first - 1
    while after < last:
        async with database.read() as connection:
            events = await read_after(connection, space, after, min(PAGE, last - after))
        if not events:
            break
        wanted = [event for event in events if event.seq <= last]  # the oldest may be pruned
        await again.give(wanted)
        count, after = count + len(wanted), events[-1].seq
    return count


async def run(arguments: Sequence[str]) -> str:
    """Carries out one command and returns what to say. Raises `ValueError`, `SettingsError` and `PresenceError`."""
    match arguments:
        case ["dead"]:
            async with Again.connected(settings.read(CommonSettings).amqp_url) as again:
                return f"{await again.give_dead()} messages given to {again.group} again."
        case ["log", space, first, last]:
            space_type, _, space_id = space.partition(":")
            return await _run_log(SpaceKey.parse(space_type, space_id), int(first), int(last))
        case _:
            raise ValueError("Say `dead`, or `log SPACE_TYPE:SPACE_ID FIRST LAST`.")


async def _run_log(space: SpaceKey, first: int, last: int) -> str:
    given = settings.read(DatabaseSettings)
    async with Again.connected(given.amqp_url) as again:
        database = Database(given.database_url, again.group, 1)
        try:
            count = await replay_log(again, database, space, first, last)
        finally:
            await database.stop()
        return f"{count} events of {space} given to {again.group} again."


def main() -> None:
    """Prints what was done, or exits with what is wrong."""
    try:
        print(asyncio.run(run(sys.argv[1:])))
    except (ValueError, SettingsError, PresenceError) as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
