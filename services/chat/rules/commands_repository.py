"""SQL of idempotency: which commands were carried out already."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_GIVEN = """unnest(CAST(:author_keys AS text[]), CAST(:commands AS text[]), CAST(:scopes AS text[]),
  CAST(:client_ids AS text[])"""
_KEY = "author_key, command, scope, client_message_id"
# In the order of the key, so that two batches cannot wait for each other.
_BEGIN = text(f"""
INSERT INTO chat_commands ({_KEY}, subject_id)
SELECT * FROM {_GIVEN}, CAST(:subjects AS uuid[])) AS given({_KEY}, subject_id) ORDER BY {_KEY}, subject_id
ON CONFLICT DO NOTHING RETURNING subject_id
""")  # noqa: S608
_SUBJECTS = text(f"SELECT {_KEY}, subject_id FROM chat_commands JOIN {_GIVEN}) AS given({_KEY}) USING ({_KEY})")  # noqa: S608
_UNDO = text(f"DELETE FROM chat_commands WHERE ({_KEY}) IN (SELECT * FROM {_GIVEN}))")  # noqa: S608


class AlreadyDone(Exception):
    """The author has given this command before; the transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Command:
    """What makes two commands the same one: who, what, where (a space or a message), and the client's own id."""

    author_key: str
    command: str
    scope: str
    client_message_id: str


async def begin(connection: AsyncConnection, command: Command, subject_id: str) -> None:
    """Take the command for this transaction. Raises `AlreadyDone`; waits for a rival that is about to commit."""
    if not await begin_all(connection, [command], [subject_id]):
        raise AlreadyDone


async def begin_all(connection: AsyncConnection, commands: Sequence[Command], subject_ids: Sequence[str]) -> set[str]:
    """Take those commands that nobody took before; their subjects. Of two equal ones the first gets it."""
    given = {**_columns(commands), "subjects": list(subject_ids)}
    return {str(subject) for subject in (await connection.execute(_BEGIN, given)).scalars()}


async def undo(connection: AsyncConnection, commands: Sequence[Command]) -> None:
    """Give back what this transaction took: they were refused, and leave no trace."""
    if commands:
        await connection.execute(_UNDO, _columns(commands))


async def subjects_of(connection: AsyncConnection, commands: Sequence[Command]) -> dict[Command, str]:
    """What each command was about when it was carried out; nothing for one that was not."""
    if not commands:
        return {}
    rows = await connection.execute(_SUBJECTS, _columns(commands))
    return {Command(*key): str(subject) for *key, subject in rows}


def _columns(commands: Sequence[Command]) -> dict[str, list[str]]:
    keys = [astuple(command) for command in commands]
    names = ("author_keys", "commands", "scopes", "client_ids")
    return {name: list(column) for name, column in zip(names, zip(*keys, strict=True), strict=True)}
