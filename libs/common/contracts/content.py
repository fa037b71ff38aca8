"""What a space shows; content replicated from the primary (data.dlux.io), how current it is, how old backups are."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

from libs.common.clock import rfc3339
from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Event, Http, Limit, Operation, Shared, Webhook
from libs.common.contracts.schema import SpaceId, SpaceType, choice, integer

TABLES = (
    *("posts", "collaboration_documents", "collaboration_permissions", "presence_permissions"),
    "presence_events",
)
"""What is replicated, each as a table of its own."""
MOST_ROWS = 2**53 - 1  # that JSON's readers know exactly

BACKUP_LATE = 2  # times the interval: what is older is not well


@dataclass(frozen=True)
class TableStatus:
    """`last_run_at` is as of when the table last equalled the primary, `lag_seconds` how long ago that is.

    A table is behind with an error, before its first complete run, and from `stale_after_seconds` after the last one.
    `closed_rows` vanished from the primary in suspicious number: they are closed, and wait for a confirmation.
    `rows_read` are those of the run under way; null between runs.
    """

    table: str
    rows: int
    last_run_at: datetime | None
    lag_seconds: float | None
    last_error: str | None
    closed_rows: int = 0
    rows_read: int | None = None
    stale_after_seconds: float = 180.0

    def at(self, moment: datetime) -> "TableStatus":
        """Returns the same with its age at `moment`: whoever reads a status takes the ages, however old it is."""
        lag = max((moment - self.last_run_at).total_seconds(), 0.0) if self.last_run_at else None
        return replace(self, lag_seconds=lag)

    @property
    def is_current(self) -> bool:
        return self.last_error is None and self.lag_seconds is not None and self.lag_seconds < self.stale_after_seconds


@dataclass(frozen=True)
class SyncStatus:
    """`current` is true while no table is behind; `under_way`, while the cycle that was asked for goes on."""

    current: bool
    tables: list[TableStatus]
    under_way: bool = False

    def at(self, moment: datetime) -> "SyncStatus":
        """Returns the same as it is at `moment`."""
        tables = [table.at(moment) for table in self.tables]
        return replace(self, current=bool(tables) and all(table.is_current for table in tables), tables=tables)


@dataclass(frozen=True)
class BackupStatus:
    """The newest backup of the database and the last good drill, if there are any, and what failed last.

    Intervals are in seconds.
    """

    made_at: datetime | None
    bytes: int | None
    drilled_at: datetime | None
    interval: float
    drill_interval: float
    error: str | None

    def seen_at(self, moment: datetime) -> dict[str, Any]:
        """Returns what health shows. Ages are those of the reader's moment: who wrote this may be dead since."""
        age, drill_age = _age(self.made_at, moment), _age(self.drilled_at, moment)
        error = self.error or self._trouble(age, drill_age)
        return {
            "ok": error is None,
            "made_at": rfc3339(self.made_at) if self.made_at else None,
            "age_seconds": age,
            "bytes": self.bytes,
            "drilled_at": rfc3339(self.drilled_at) if self.drilled_at else None,
            "drill_age_seconds": drill_age,
            "error": error,
        }

    def _trouble(self, age: float | None, drill_age: float | None) -> str | None:
        if age is None:
            return "No backup was made yet."
        if age > BACKUP_LATE * self.interval:
            return "The newest backup is too old."
        if drill_age is None:
            return "No backup was tried yet."
        return "The last good drill is too long ago." if drill_age > BACKUP_LATE * self.drill_interval else None


UNKNOWN_BACKUPS = BackupStatus(None, None, None, 0.0, 0.0, "Nothing is known of backups: their process has not told.")


def _age(made: datetime | None, moment: datetime) -> float | None:
    return None if made is None else round((moment - made).total_seconds(), 1)


@dataclass(frozen=True)
class SyncRequest:
    """One table, or all. `confirm` lets as many of its closed rows be deleted, once; it needs the table's name."""

    table: Annotated[str, choice(*TABLES)] | None = None
    confirm: Annotated[int, integer(1, MOST_ROWS)] | None = None


@dataclass(frozen=True)
class PostChanged:
    """A post's `change` at the primary: hidden, shown or deleted. Votes and other counters are no change."""

    author: str
    permlink: str
    change: str


@dataclass(frozen=True)
class DocumentChanged:
    """A document as it is now at the primary, without its content."""

    title: str
    updated_at: datetime | None
    public: bool
    deleted: bool = False


@dataclass(frozen=True)
class DocumentDeleted:
    """A document that is gone from the primary, as it was last.

    Whose it was, and whether everybody could read it, decides who hears of it: no more than that and when.
    """

    title: str
    creator: str
    public: bool
    updated_at: datetime | None
    deleted: bool = True


@dataclass(frozen=True)
class PermissionChanged:
    """What an account may do at a space as the primary says in `table`; null if it says nothing any more."""

    account: str
    permission: str | None
    table: str


@dataclass(frozen=True)
class PresenceEventChanged:
    """An event that is held at the primary: its `change` is changed, cancelled or deleted."""

    title: str
    change: str


@dataclass(frozen=True)
class GetContent:
    """Asks what a space shows."""

    space_type: SpaceType
    space_id: SpaceId


@dataclass(frozen=True)
class Image:
    """A picture and its small form, which is the same where there is none."""

    url: str
    thumb: str


@dataclass(frozen=True)
class Asset:
    """A picture or model of the scene. `rotation` is degrees about x, y and z; `first` is where the scene begins.

    `kind` is the author's word for what it is.
    """

    url: str
    thumb: str
    kind: str
    name: str
    rotation: str
    first: bool


SCENE_KINDS = ("360", "gallery", "vrml", "aframe", "blog", "game", "document", "lobby")


@dataclass(frozen=True)
class Scene:
    """What stands around people: `url` is what to load, if anything; `entry` is the author's own app, `ipfs://…`."""

    kind: Annotated[str, choice(*SCENE_KINDS)]
    url: str | None
    entry: str | None


@dataclass(frozen=True)
class DocumentText:
    """`text` is null for a document whose text is in a form that is not read here."""

    text: str | None
    updated_at: datetime | None


@dataclass(frozen=True)
class SpaceContent:
    """What a space shows. The author's words are as they were written: whoever shows them makes them harmless.

    URLs of things on IPFS lead to `/api/media`; others are https. `pending` says that the author's text is still to be
    fetched: ask again after a few seconds.
    """

    title: str
    body: str
    body_format: Annotated[str, choice("markdown", "text")]
    author: str | None
    created_at: datetime | None
    images: list[Image]
    assets: list[Asset]
    scene: Scene
    document: DocumentText | None
    license: str | None
    tags: list[str]
    pending: bool


get_content = Operation(
    "content.get",
    "spaces_auth",
    GetContent,
    SpaceContent,
    Access.ANYONE,
    Limit(240, 60),
    bindings=(Http("GET", "/api/spaces/{space_type}/{space_id}/content"),),
    summary="What a space shows: its text, pictures and scene.",
    shared=Shared(("content.", "events.", "moderation.")),
)
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
    summary="Run a sync cycle now; the reply is the status after it, or, of a long one, while it goes on.",
    timeout=10.0,
)

primary_changed = Operation(
    "content.primary_changed",
    "sync_worker",
    Empty,
    Empty,
    Access.INTERNAL,
    Limit(60, 60, per_address=True),
    writes=True,
    summary="The primary says that it changed: a cycle starts, and is not waited for.",
)

post_changed = Event("content.post_changed", PostChanged, summary="A post was hidden, shown again or deleted.")
document_changed = Event(
    "content.document_changed",
    DocumentChanged,
    bindings=(Webhook("document_edit"),),
    summary="A document's title, content or rules changed, or it came.",
)
document_deleted = Event(
    "content.document_deleted",
    DocumentDeleted,
    bindings=(Webhook("document_edit", without=("title", "creator", "public")),),
    summary="Or it went: then `data` has `updated_at` and `deleted` alone.",
)
permission_changed = Event(
    "content.permission_changed", PermissionChanged, summary="The primary gave a permission or took it away."
)
presence_event_changed = Event(
    "content.presence_event_changed",
    PresenceEventChanged,
    summary="An event that is held at the primary was changed, cancelled or deleted.",
)

RECORDS = (
    get_content, sync_status, sync_now, primary_changed, post_changed, document_changed, document_deleted,
    permission_changed, presence_event_changed,
)  # fmt: skip
