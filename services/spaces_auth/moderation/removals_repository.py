"""SQL on `space_removals`: the people whom a kick, a ban or a request to leave puts out of a space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy import insert as sql_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.db.models.spaces import SpaceRemoval
from libs.common.spaces import SpaceKey
from services.spaces_auth.moderation.subjects import Subject


@dataclass(frozen=True, slots=True)
class Removal:
    """The subjects that have to leave, unless their role is `beats` or higher, with the code and reason they get."""

    subjects: Sequence[Subject]
    beats: int
    code: str
    reason: str


async def insert(connection: AsyncConnection, space: SpaceKey, seq: int, removal: Removal) -> None:
    """Stores the removal of all its subjects that entered before `seq`."""
    rows = [
        {
            "space_type": space.space_type,
            "space_id": space.space_id,
            "seq": seq,
            "subject_kind": subject.kind,
            "subject": subject.id,
            "address_range": subject.address_range,
            "beats": removal.beats,
            "code": removal.code,
            "reason": removal.reason,
        }
        for subject in removal.subjects
    ]
    await connection.execute(sql_insert(SpaceRemoval), rows)


async def since(connection: AsyncConnection, space: SpaceKey, after_seq: int) -> Sequence[Row[Any]]:
    """Returns the removals of a greater `seq`, oldest first."""
    statement = select(SpaceRemoval).where(
        SpaceRemoval.space_type == space.space_type,
        SpaceRemoval.space_id == space.space_id,
        SpaceRemoval.seq > after_seq,
    )
    return (await connection.execute(statement.order_by(SpaceRemoval.seq))).all()
