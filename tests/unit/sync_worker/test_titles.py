"""A Hive post is read for its title, description and time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.sync_worker.tables.documents import LONGEST_TITLE
from services.sync_worker.titles.titles import LONGEST_DESCRIPTION, Texts, read_post

POST: dict[str, Any] = {
    "title": " A title ",
    "body": "The text.",
    "created": "2024-03-01T12:00:00",
    "json_metadata": {},
}


def read(**changes: Any) -> Texts:
    texts = read_post({**POST, **changes}, "permlink")
    assert texts is not None
    return texts


def test_title_text_and_time_are_read() -> None:
    assert read() == Texts("A title", "The text.", datetime(2024, 3, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize("metadata", [{"description": "Mine."}, '{"description": "Mine."}'])
def test_the_authors_own_description_wins(metadata: object) -> None:
    assert read(json_metadata=metadata).description == "Mine."


@pytest.mark.parametrize("metadata", [None, "", "{", "[]", 3, {"description": 7}])
def test_metadata_that_is_nonsense_is_ignored(metadata: object) -> None:
    assert read(json_metadata=metadata).description == "The text."


def test_odd_texts_are_made_storable() -> None:
    texts = read(title="a\x00b\ud800", body="x" * 10_000, created="yesterday")

    assert texts == Texts("ab?", "x" * LONGEST_DESCRIPTION, None)
    assert len(read(title="t" * 10_000).title) == LONGEST_TITLE


def test_a_post_without_a_title_is_called_by_its_permlink() -> None:
    assert read(title=None).title == "permlink"


@pytest.mark.parametrize("answer", [None, [], "post", 7])
def test_an_answer_that_is_no_post_is_nothing(answer: object) -> None:
    assert read_post(answer, "permlink") is None
