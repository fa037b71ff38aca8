"""What an id tells of itself."""

import time

import pytest

from libs.common.ids import made_at, new_id


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time()
    made = made_at(new_id())
    assert made
    assert before - 0.001 <= made.timestamp() <= time.time()


@pytest.mark.parametrize(
    "text", ["", "request-1", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "01A21FA5-347B-7530-8204-8928FA2A27DC"]
)
def test_what_is_no_id_of_ours_tells_nothing(text: str) -> None:
    assert made_at(text) is None
