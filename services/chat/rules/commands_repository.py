"""SQL on `chat_commands`, which makes commands idempotent: each is carried out once."""

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
    """The author gave this command before; the transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command's identity: author, verb, scope (a space or a message), and the id that the client made."""

    author_key: str
    command: str
    scope: str
    client_message_id: str


async def begin(connection: AsyncConnection, command: Command, subject_id: str) -> None:
    """Claims the command for this transaction, after waiting for a rival to commit. Raises `AlreadyDone`."""
    if not await begin_all(connection, [command], [subject_id]):
        raise AlreadyDone


async def begin_all(connection: AsyncConnection, commands: Sequence[Command], subject_ids: Sequence[str]) -> set[str]:
    """Claims the commands that are not carried out yet; returns their subjects. Of two equal ones the first wins."""
    given = {**_columns(commands), "subjects": list(subject_ids)}
    return {str(subject) for subject in (await connection.execute(_BEGIN, given)).scalars()}


async def undo(connection: AsyncConnection, commands: Sequence[Command]) -> None:
    """Gives claims of this transaction back: the commands were refused, and leave no trace."""
    if commands:
        await connection.execute(_UNDO, _columns(commands))


async def subjects_of(connection: AsyncConnection, commands: Sequence[Command]) -> dict[Command, str]:
    """Returns each command's subject when it was carried out; leaves out commands that were not."""
    if not commands:
        return {}
    rows = await connection.execute(_SUBJECTS, _columns(commands))
    return {Command(*key): str(subject) for *key, subject in rows}


def _columns(commands: Sequence[Command]) -> dict[str, list[str]]:
    keys = [astuple(command) for command in commands]
    names = ("author_keys", "commands", "scopes", "client_ids")
    return {name: list(column) for name, column in zip(names, zip(*keys, strict=True), strict=True)}
