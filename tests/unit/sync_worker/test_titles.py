"""A Hive post is read for its title, description and time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.sync_worker.tables.documents import LONGEST_TITLE
from services.sync_worker.titles.hive_posts import LONGEST_BODY, LONGEST_DESCRIPTION, Texts, read_post
from services.sync_worker.titles.json_metadata import (
    LONGEST_URL,
    MOST_ASSETS,
    MOST_IMAGES,
    MOST_TAGS,
    NO_ROTATION,
    Asset,
    Details,
)

CID = "Qm" + "a" * 44
CID_1 = "b" + "a" * 58

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
    assert read() == Texts("A title", "The text.", datetime(2024, 3, 1, 12, tzinfo=UTC), "The text.", Details())


@pytest.mark.parametrize("metadata", [{"description": "Mine."}, '{"description": "Mine."}'])
def test_the_authors_own_description_wins(metadata: object) -> None:
    assert read(json_metadata=metadata).description == "Mine."


@pytest.mark.parametrize("metadata", [None, "", "{", "[]", 3, {"description": 7}])
def test_metadata_that_is_nonsense_is_ignored(metadata: object) -> None:
    assert read(json_metadata=metadata).description == "The text."


def test_odd_texts_are_made_storable() -> None:
    texts = read(title="a\x00b\ud800", body="x" * 10_000, created="yesterday")

    assert texts == Texts("ab?", "x" * LONGEST_DESCRIPTION, None, "x" * 10_000, Details())
    assert len(read(title="t" * 10_000).title) == LONGEST_TITLE


def test_a_post_without_a_title_is_called_by_its_permlink() -> None:
    assert read(title=None).title == "permlink"


@pytest.mark.parametrize("answer", [None, [], "post", 7])
def test_an_answer_that_is_no_post_is_nothing(answer: object) -> None:
    assert read_post(answer, "permlink") is None


def test_what_a_scene_is_made_of_is_read() -> None:
    asset = {"hash": CID, "thumbHash": CID_1, "type": "ts", "name": "north.jpg", "r": "0 -90 0", "f": 1}
    metadata = {
        "app": "dlux/0.1",
        "image": [f"https://ipfs.dlux.io/ipfs/{CID}/a%20b.png", "https://images.hive.blog/x.png"],
        "vrHash": CID,
        "assets": [asset, {"hash": CID_1}],
        "license": "CC0-1.0",
        "tags": ["dlux", "360", "dlux"],
    }

    assert read(json_metadata=metadata).details == Details(
        images=[f"ipfs://{CID}/a b.png", "https://images.hive.blog/x.png"],
        assets=[
            Asset(f"ipfs://{CID}", f"ipfs://{CID_1}", "ts", "north.jpg", "0 -90 0", True),
            Asset(f"ipfs://{CID_1}", None, "", "", NO_ROTATION, False),
        ],
        entry=f"ipfs://{CID}",
        app="dlux/0.1",
        license="CC0-1.0",
        tags=["dlux", "360"],
    )


@pytest.mark.parametrize(
    "address",
    [
        *(
            "javascript:alert(1)",
            "http://pictures.test/a.png",
            "data:text/html,x",
            "//pictures.test/a",
            "ipfs://../etc",
        ),
        *(f"ipfs://{CID}/../x", f"ipfs://{CID}/%2e%2e/x", "https://user:word@pictures.test/", "https://[", "https://"),
        *(
            "https://pictures.test/a b",
            "https://pictures.test/\nx",
            "https://pictures.test/" + "x" * LONGEST_URL,
            7,
            None,
        ),
        *({}, [], True, 1e400, CID[:-1], CID + "0"),
    ],
)
def test_an_address_that_is_neither_https_nor_ipfs_is_left_out(address: object) -> None:
    metadata = {
        "image": [address],
        "vrHash": address,
        "assets": [{"hash": address}, {"hash": CID, "thumbHash": address}],
    }

    details = read(json_metadata=metadata).details

    assert (details.images, details.entry) == ([], None)
    assert [(asset.url, asset.thumb) for asset in details.assets] == [(f"ipfs://{CID}", None)]


@pytest.mark.parametrize(
    "nonsense", [None, 7, True, 1.5, "words", [], {}, [[]], [{}], [None], {"a": [1]}, [{"hash": {}}]]
)
@pytest.mark.parametrize("name", ["image", "assets", "vrHash", "app", "tags", "license", "description"])
def test_metadata_of_any_type_makes_no_error(name: str, nonsense: object) -> None:
    details = read(json_metadata={name: nonsense}).details

    assert (details.images, details.assets, details.entry) == ([], [], None)


def test_metadata_is_bounded_in_number_and_length() -> None:
    asset = {"hash": CID, "name": "n" * 10_000, "type": "t" * 10_000, "r": "1" * 10_000}
    many = {"image": [CID] * 10_000, "assets": [asset] * 10_000, "tags": [f"{n:05}" * 100 for n in range(10_000)]}
    texts = read(json_metadata=many, body="é" * LONGEST_BODY)

    kept = (len(texts.details.images), len(texts.details.assets), len(texts.details.tags))
    assert kept == (MOST_IMAGES, MOST_ASSETS, MOST_TAGS)
    assert len(texts.body.encode()) <= LONGEST_BODY
    assert len(repr(texts)) < 300_000
    assert read(json_metadata="[" * 100_000).details == Details()
