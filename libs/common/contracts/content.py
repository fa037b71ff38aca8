"""Content replicated from the primary (data.dlux.io), and how current it is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import choice, integer

TABLES = ("posts", "collaboration_documents", "collaboration_permissions", "presence_permissions")
"""What is replicated, each as a table of its own."""
MOST_ROWS = 2**53 - 1  # that JSON's readers know exactly


@dataclass(frozen=True)
class TableStatus:
    """`lag_seconds` is the age of the last complete run; null before the first.

    `closed_rows` vanished from the primary in suspicious number: they are closed, and wait for a confirmation.
    """

    table: str
    rows: int
    last_run_at: datetime | None
    lag_seconds: float | None
    last_error: str | None
    closed_rows: int = 0


@dataclass(frozen=True)
class SyncStatus:
    """`current` is true while every table's last complete run is recent enough."""

    current: bool
    tables: list[TableStatus]


@dataclass(frozen=True)
class SyncRequest:
    """One table, or all. `confirm` lets as many of its closed rows be deleted, once; it needs the table's name."""

    table: Annotated[str, choice(*TABLES)] | None = None
    confirm: Annotated[int, integer(1, MOST_ROWS)] | None = None


sync_status = Operation(
    "content.sync_status",
    "sync_worker",
    Empty,
    SyncStatus,
    Access.OPERATOR,
    Limit(120, 60),
    bindings=(Http("GET", "/api/admin/status"),),
    summary="How current the replica is.",
)
sync_now = Operation(
    "content.sync_now",
    "sync_worker",
    SyncRequest,
    SyncStatus,
    Access.OPERATOR,
    Limit(10, 60),
    writes=True,
    bindings=(Http("POST", "/api/admin/sync"),),
    summary="Run a sync cycle now; the reply is the status after it.",
    timeout=60.0,
)

RECORDS = (sync_status, sync_now)
