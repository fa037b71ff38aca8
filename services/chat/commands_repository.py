"""SQL of idempotency: which commands were carried out already."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.chat import ChatCommand as C

_PLACE: ColumnElement[Any] = literal_column("ctid")  # where PostgreSQL keeps a row


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
    values = {"subject_id": subject_id, **{name: getattr(command, name) for name in Command.__slots__}}
    if (await connection.execute(insert(C).values(**values).on_conflict_do_nothing())).rowcount == 0:
        raise AlreadyDone


async def subject_of(connection: AsyncConnection, command: Command) -> str:
    """What the command was about when it was carried out."""
    conditions = [getattr(C, name) == getattr(command, name) for name in Command.__slots__]
    subject: str = (await connection.execute(select(C.subject_id).where(*conditions))).scalar_one()
    return subject


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove the oldest commands, at most `limit`; how many there were."""
    old = select(_PLACE).select_from(C).where(C.created_at < before).limit(limit)
    return (await connection.execute(delete(C).where(_PLACE.in_(old)))).rowcount
