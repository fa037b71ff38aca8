"""Where a table's replication stands: what is remembered of the primary from one cycle to the next."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.common.clock import now
from libs.common.metrics import SYNC_MISSED, SYNC_SKIPPED
from services.sync_worker.primary.reading import Moment, Sums
from services.sync_worker.replication import repository

type Residuals = dict[str, tuple[int, int]]  # block → by how many rows and how much hash the primary has more

FARTHEST = 2**30  # transactions; an older floor cannot be compared with a row's


class Progress(msgspec.Struct):
    """The position of a pass under way: the last key of the last page, and what the pass has met so far.

    `origin` and `floor` are the primary's when it began. A `proof` is a pass over what is held to be equal already.
    """

    started_at: datetime = msgspec.field(default_factory=now)
    origin: str = ""
    floor: int = 0
    proof: bool = False
    shape: str = ""
    after: list[str] | None = None
    read: int = 0
    changed: int = 0
    skipped: int = 0


class Position(msgspec.Struct):
    """What was equal at the end of the last cycle: all that was committed at `origin` before `floor`.

    `residuals` are of those of so many `blocks` whose rows are not all here, since some are skipped or share a key.
    `there` stands for the primary's sums that they are of; empty where the replica's keys have changed since.
    `suspects` are blocks that a proof found unequal. `skipped` counts the rows that could not be read, in the last pass
    or proof and in each cycle after it; `missed`, those that proofs found and cycles had not, ever since.
    """

    origin: str
    floor: int
    blocks: int = 0
    residuals: Residuals = {}
    there: str = ""
    suspects: list[int] = []
    proved_at: datetime | None = None
    skipped: int = 0
    missed: int = 0

    def leads_to(self, moment: Moment | None) -> bool:
        """Returns whether what was written since can be told from what was not."""
        return moment is not None and self.origin == moment.origin and 0 <= moment.floor - self.floor < FARTHEST


async def load(connection: AsyncConnection, table: str) -> tuple[Position | None, Progress | None]:
    """Returns a table's position and the progress of its pass under way; None for what there is not or is not read."""
    position, progress = await repository.positions(connection, table)
    return _read(position, Position), _read(progress, Progress)


def _read[T](stored: Any, form: type[T]) -> T | None:
    if not stored:
        return None
    try:
        return msgspec.convert(stored, form)
    except msgspec.ValidationError:  # another version's
        return None


def show(table: str, position: Position) -> None:
    """Shows Prometheus how many rows could not be read, and how many were missed."""
    SYNC_SKIPPED.labels(table).set(position.skipped)
    SYNC_MISSED.labels(table).set(position.missed)


def digest_of(sums: Mapping[int, Sums]) -> str:
    """Returns what is the same for the same sums."""
    texts = (f"{block} {one.rows} {one.hashes}" for block, one in sorted(sums.items()))
    return hashlib.blake2b("\n".join(texts).encode(), digest_size=16).hexdigest()


def as_residuals(sums: dict[int, Sums]) -> Residuals:
    """Returns the residuals that are not nothing."""
    return {str(block): (rest.rows, rest.hashes) for block, rest in sums.items() if rest != Sums()}
