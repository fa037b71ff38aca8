"""How rows of the primary are understood, whatever their types."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.sync_worker.tables import values
from services.sync_worker.tables.documents import DOCUMENTS, PERMISSIONS
from services.sync_worker.tables.posts import POSTS
from services.sync_worker.tables.presence_permissions import PRESENCE_PERMISSIONS
from services.sync_worker.tables.table import MissingTable, Table, digest
from services.sync_worker.tables.values import BadRow

POST = {"author": "alice", "permlink": "my-post", "type": "360"}
BY_NAME = {"owner": "bob", "permlink": "draft", "account": "alice"}


def read(table: Table, *rows: dict[str, Any], shape: str = "") -> Any:
    chosen = next(one for one in table.shapes if one.name == (shape or one.name))
    return table.read(chosen, rows)


@pytest.mark.parametrize(
    "row", [{**POST, "type": None}, {**POST, "type": ""}, {"author": "alice", "permlink": "my-post"}]
)
def test_a_post_without_a_type_is_a_blog(row: dict[str, Any]) -> None:
    post = read(POSTS, row)
    assert post["type"] == "blog"


@pytest.mark.parametrize("row", [{**POST, "author": "A"}, {**POST, "permlink": "x/../y"}])
def test_a_post_that_no_space_can_be_named_after_is_bad(row: dict[str, Any]) -> None:
    with pytest.raises(BadRow):
        read(POSTS, row)


def test_a_post_takes_what_can_be_understood() -> None:
    post = read(
        POSTS,
        {
            **POST,
            "votes": "17",
            "voteweight": 10**30,
            "rating": "NaN",
            "ratings": 2.0,
            "hidden": "t",
            "nsfw": 0,
            "tags": "vr, art,,",
            "moderated_at": "2024-05-01T10:00:00",
        },
    )

    assert (post["votes"], post["voteweight"], post["rating"], post["ratings"]) == (17, values.BIGINT, 0.0, 2)
    assert (post["hidden"], post["nsfw"], post["tags"]) == (True, False, ["vr", "art"])
    assert post["moderated_at"] == datetime(2024, 5, 1, 10, tzinfo=UTC)


def test_a_flag_that_decides_about_access_is_never_guessed() -> None:
    with pytest.raises(BadRow, match="is_public"):
        read(DOCUMENTS, {"id": 1, "creator": "bob", "is_public": "perhaps"})


@pytest.mark.parametrize(
    ("row", "permission"),
    [
        ({"permission_type": "readonly"}, "read"),
        ({"permission_type": "editable"}, "edit"),
        ({"permission_type": "postable", "can_read": True, "can_edit": True}, "edit"),
        ({"permission_type": "editable", "can_edit": False}, "read"),
        ({"permission_type": "readonly", "can_edit": True}, "read"),
        ({"permission_type": "editable", "can_read": False, "can_edit": False}, None),
        ({"permission_type": "readonly", "can_read": False}, None),
        ({"permission_type": None, "can_read": True, "can_edit": True}, "edit"),
        ({"permission_type": "editable", "can_read": False, "can_edit": True}, None),
        ({"permission_type": "editable", "can_read": None, "can_edit": True}, None),
        ({"permission_type": "editable", "can_read": True, "can_edit": None}, "read"),
        ({"can_read": True}, "read"),
        ({}, None),
    ],
)
def test_a_permission_by_name_is_its_type_lowered_by_its_flags(row: dict[str, Any], permission: str | None) -> None:
    record = read(PERMISSIONS, {**BY_NAME, **row}, shape="by name")

    assert (record and record["permission"]) == permission


@pytest.mark.parametrize(
    ("column", "closed"), [("hidden", True), ("flagged", True), ("is_deleted", True), ("is_public", False)]
)
def test_a_flag_that_holds_nothing_closes(column: str, closed: bool) -> None:
    row = {"id": 1, "creator": "bob", **POST, column: None}

    assert read(POSTS if column in ("hidden", "flagged") else DOCUMENTS, row)[column] is closed


@pytest.mark.parametrize(
    ("row", "who"),
    [
        ({"comment_permissions": "invited_only"}, "invited_only"),
        ({"comment_permissions": "friends"}, "creator_only"),
        ({"comment_permissions": None}, "creator_only"),
        ({"comment_permissions": ["all"]}, "creator_only"),
        ({}, "all"),
    ],
)
def test_an_unknown_word_for_who_may_comment_is_the_narrowest(row: dict[str, Any], who: str) -> None:
    assert read(DOCUMENTS, {"id": 1, "creator": "bob", **row})["comment_permissions"] == who


def test_an_unknown_permission_is_bad() -> None:
    with pytest.raises(BadRow):
        read(PERMISSIONS, {**BY_NAME, "permission_type": "omnipotent"}, shape="by name")
    with pytest.raises(BadRow):
        read(PERMISSIONS, {"document_id": 1, "user_account": "alice", "permission": "own"}, shape="by id")


def test_of_several_rows_with_one_key_the_strongest_that_can_be_read_counts() -> None:
    row = {"space_type": "post", "space_id": "bob/x", "user_account": "alice"}
    rows = [{**row, "permission": name} for name in ("access", "nonsense", "admin", "moderate")]

    assert read(PRESENCE_PERMISSIONS, *rows)["permission"] == "admin"
    with pytest.raises(BadRow):
        read(PRESENCE_PERMISSIONS, rows[1])


def test_equal_records_have_equal_hashes_whatever_the_types_of_the_primary() -> None:
    assert digest(read(POSTS, {**POST, "votes": "17"})) == digest(read(POSTS, {**POST, "votes": 17.0}))
    assert digest(read(POSTS, {**POST, "votes": 17})) != digest(read(POSTS, {**POST, "votes": 18}))


def test_the_columns_decide_which_shapes_a_table_holds() -> None:
    assert [shape.name for shape in DOCUMENTS.shapes_in(["id", "creator"])] == ["by id"]
    assert [shape.name for shape in DOCUMENTS.shapes_in(["owner", "permlink"])] == ["by name"]
    assert [shape.name for shape in DOCUMENTS.shapes_in(["id", "owner", "permlink"])] == ["by name"]
    both = ["id", "creator", "owner", "permlink"]
    assert [shape.name for shape in DOCUMENTS.shapes_in(both)] == ["by id", "by name"]
    assert PRESENCE_PERMISSIONS.shapes_in([]) == ()
    with pytest.raises(MissingTable):
        DOCUMENTS.shapes_in([])
    with pytest.raises(MissingTable):
        PRESENCE_PERMISSIONS.shapes_in(["space_type"])


def test_a_replica_key_is_found_again_in_its_shape() -> None:
    by_id, by_name = PERMISSIONS.shapes

    assert by_id.locate(("123", "alice")) == ("123", "alice")
    assert by_id.locate(("bob/draft", "alice")) is None
    assert by_name.locate(("bob/draft", "alice")) == ("bob", "draft", "alice")
    assert by_name.locate(("123", "alice")) is None


@pytest.mark.parametrize("value", ["infinity", "0044-03-15 00:00:00 BC", "", None, 12])
def test_a_time_outside_the_calendar_is_none(value: object) -> None:
    assert values.moment(value) is None


@pytest.mark.parametrize(("value", "number"), [("1e400", None), (True, 1), (None, None), ([], None), ("x", None)])
def test_a_value_that_is_no_number_is_none(value: object, number: int | None) -> None:
    assert values.whole(value) == number
