"""Names of spaces."""

import pytest

from libs.common.errors import INVALID_INPUT, NOT_FOUND, PresenceError
from libs.common.spaces import LOBBY, SpaceKey, check_subspace

GOOD = [
    ("post", "bob/my-post"), ("post", "abc/x"), ("post", "bob/My_Post.2"), ("post", "a-b.c1/0"),
    ("post", f"bob/{'x' * 255}"),
    ("document", "123"), ("document", "9" * 18), ("document", "bob/Shared_draft.v2"),
    ("global", "lobby"), ("community", "hive-123456"), ("event", "Party_2024-05"),
]  # fmt: skip
BAD = [
    ("post", "bob/"), ("post", "/my-post"), ("post", "bob/a?b"), ("post", "bob/a/b"),
    ("post", "bo/x"), ("post", "bobbobbobbobbobbob/x"), ("post", f"bob/{'x' * 256}"), ("post", "bob/my-post\n"),
    ("post", "bob/my post"), ("post", "bob/x\x00"), ("post", "bob/\ud800"), ("post", "1ob/x"), ("post", ""),
    ("document", "٣"), ("document", "1.5"), ("global", "lobby:main"), ("community", "hive-" + "1" * 60), ("event", ""),
    ("event", "a b"), ("event", "x" * 65), ("event", "a/b"),
]  # fmt: skip
OF_ANOTHER_TYPE = [
    ("post", "bob"), ("post", "123"), ("document", "0"), ("document", "-1"), ("document", "9" * 19),
    ("document", "bob/a,b"), ("global", "Lobby"), ("global", "hive-1"), ("community", "hive-"),
    ("community", "hive-12345678901"), ("community", "bob"), ("event", "bob/x"),
]  # fmt: skip


@pytest.mark.parametrize(("space_type", "space_id"), GOOD)
def test_a_good_id_is_its_own_text(space_type: str, space_id: str) -> None:
    key = SpaceKey.parse(space_type, space_id)
    assert str(key) == f"{space_type}:{space_id}"
    assert SpaceKey.from_text(str(key)) == key


@pytest.mark.parametrize(("space_type", "space_id"), BAD)
def test_a_bad_id_is_invalid_input_and_named(space_type: str, space_id: str) -> None:
    with pytest.raises(PresenceError) as raised:
        SpaceKey.parse(space_type, space_id)
    assert raised.value.kind is INVALID_INPUT
    assert list(raised.value.details["fields"]) == ["space_id"]


@pytest.mark.parametrize(("space_type", "space_id"), OF_ANOTHER_TYPE)
def test_an_id_of_another_type_names_nothing(space_type: str, space_id: str) -> None:
    """OpenAPI cannot say which ids go with which type, so this is no malformed request."""
    with pytest.raises(PresenceError) as raised:
        SpaceKey.parse(space_type, space_id)
    assert raised.value.kind is NOT_FOUND


@pytest.mark.parametrize("space_type", ["", "Post", "posts", "post\n", "__class__"])
def test_an_unknown_type_is_invalid_input_and_named(space_type: str) -> None:
    with pytest.raises(PresenceError) as raised:
        SpaceKey.parse(space_type, "lobby")
    assert list(raised.value.details["fields"]) == ["space_type"]


@pytest.mark.parametrize("text", ["", "global", "global:", ":lobby", "lobby"])
def test_a_text_that_is_no_key_is_invalid_input(text: str) -> None:
    with pytest.raises(PresenceError):
        SpaceKey.from_text(text)


def test_the_lobby_is_a_good_key() -> None:
    assert SpaceKey.parse("global", "lobby") == LOBBY


@pytest.mark.parametrize("subspace", ["main", "Room_1", "a", "x" * 64])
def test_a_subspace_is_a_short_name(subspace: str) -> None:
    assert check_subspace(subspace) == subspace


@pytest.mark.parametrize("subspace", ["", "x" * 65, "a b", "a/b", "a:b", "a\n"])
def test_anything_else_is_no_subspace(subspace: str) -> None:
    with pytest.raises(PresenceError):
        check_subspace(subspace)
