"""Reads an answer of `bridge.get_post` (Hive's docs; times are UTC without saying so)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.sync_worker.tables.documents import LONGEST_TITLE
from services.sync_worker.tables.values import moment
from services.sync_worker.titles.json_metadata import Details, clean, read_details, read_object

LONGEST_DESCRIPTION = 500  # characters
LONGEST_BODY = 64 * 1024  # bytes of UTF-8; Hive's own limit of a transaction


@dataclass(frozen=True, slots=True)
class Texts:
    """The parts of a Hive post that are kept. `description` is plain text: the author's, or the post's beginning.

    `body` is Markdown with HTML in it, as its author wrote it.
    """

    title: str
    description: str
    created: datetime | None
    body: str
    details: Details


def read_post(post: Any, fallback: str) -> Texts | None:
    """Returns the texts of an answer; None for what is no post. A post without a title is called `fallback`."""
    if not isinstance(post, dict):
        return None
    metadata = read_object(post.get("json_metadata"))
    title = clean(post.get("title"))[:LONGEST_TITLE] or fallback
    body = clean(post.get("body"))
    description = clean(metadata.get("description")) or body
    created = moment(post.get("created"))
    return Texts(
        title,
        description[:LONGEST_DESCRIPTION],
        created.astimezone(UTC) if created else None,
        body.encode()[:LONGEST_BODY].decode("utf-8", "ignore"),
        read_details(metadata),
    )
