"""Cursors: ours come back as they were; anything else is invalid input and nothing worse."""

import base64
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from libs.common.db import cursor
from libs.common.errors import INVALID_INPUT, PresenceError
from tests.support.quick import examples

QUICK = settings(max_examples=examples(60), deadline=None, database=None)


@QUICK
@given(st.integers(0, 2**53))
def test_a_position_comes_back(number: int) -> None:
    assert cursor.decode(cursor.encode(number), tuple[cursor.Number]) == (number,)


@QUICK
@given(st.text(), st.integers(0, 2**53))
def test_a_longer_position_comes_back(word: str, number: int) -> None:
    assert cursor.decode(cursor.encode(word, number), tuple[str, cursor.Number]) == (word, number)


def outcome_of(text: str) -> PresenceError | None:
    """How a cursor was refused; None for one that is a number."""
    try:
        (number,) = cursor.decode(text, tuple[cursor.Number])
    except PresenceError as error:
        return error
    assert 0 <= number <= 2**53
    return None


@QUICK
@given(st.text(max_size=600))
@example("é")
@example("====")
@example("a")
def test_any_other_text_is_invalid_input(text: str) -> None:
    refused = outcome_of(text)
    assert refused is None or (refused.kind, refused.details) == (
        INVALID_INPUT, {"fields": {"cursor": ["Malformed."]}},
    )  # fmt: skip


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "value", [[], [1, 2], ["1"], [1.5], [None], [True], {}, 1, [-1], [2**63], [10**400], [[[[]]]]], ids=str
)
def test_a_forged_position_is_invalid_input(value: object) -> None:
    """Also a number that the database could not take."""
    with pytest.raises(PresenceError) as raised:
        cursor.decode(forged(value), tuple[cursor.Number])
    assert raised.value.kind is INVALID_INPUT
