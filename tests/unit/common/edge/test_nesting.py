"""How deep JSON is nested, as `is_too_deep` counts it: strings hold any brackets they like."""

import json
import random
from typing import Any

import pytest

from libs.common.edge.nesting import MAX_DEPTH, is_too_deep

STRINGS = ["[[[", '\\"]', "\\\\", "}{", "ж[", "\\", '"', "\ud800"]


def nested(chance: random.Random, levels: int) -> Any:
    """So many objects and lists in each other, with strings and shallower ones beside them."""
    if not levels:
        return chance.choice([*STRINGS, 1, None])
    inner, beside = nested(chance, levels - 1), [chance.choice(STRINGS)]
    return [inner, *beside] if chance.random() < 0.5 else {chance.choice(STRINGS): beside[0], "x": inner}


@pytest.mark.parametrize("levels", [0, 1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 2 * MAX_DEPTH])
def test_only_what_is_deep_is_too_deep(levels: int) -> None:
    for seed in range(50):
        text = json.dumps(nested(random.Random(seed), levels), ensure_ascii=seed % 2 == 0)
        assert is_too_deep(text) == (levels > MAX_DEPTH), text


def test_many_beside_each_other_are_not_deep() -> None:
    assert not is_too_deep("[" + "{}," * 5000 + "[]]")


@pytest.mark.parametrize("text", ["[" * 5000, '["' * 5000, "[" * 101 + '"' + "\\" * 5000])
def test_json_that_ends_too_soon_is_counted_as_well(text: str) -> None:
    assert is_too_deep(text)
