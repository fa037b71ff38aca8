"""The wire's schemas: what goes out comes back equal, and what is wrong is refused by name."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from marshmallow import fields as ma

from libs.common.contracts import default_registry
from libs.common.contracts.schema import (
    STORABLE,
    Id,
    from_query,
    integer,
    load,
    schema_for,
    text,
)  # fmt: skip
from libs.common.contracts.schema.writing import dump
from libs.common.errors import INVALID_INPUT, PresenceError
from tests.support.contract_values import instances_of
from tests.support.quick import examples

REGISTRY = default_registry()
CONTRACT_TYPES = sorted(
    {
        *(operation.request for operation in REGISTRY.operations),
        *(operation.reply for operation in REGISTRY.operations),
        *(event.payload for event in REGISTRY.events),
    },
    key=lambda cls: cls.__qualname__,
)


@pytest.mark.parametrize("cls", CONTRACT_TYPES, ids=lambda cls: cls.__name__)
def test_every_contract_type_survives_the_wire(cls: type) -> None:
    @settings(
        max_examples=examples(15), deadline=None, database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )  # fmt: skip
    @given(instances_of(cls))
    def survives(value: Any) -> None:
        assert load(cls, json.loads(json.dumps(dump(value)))) == value

    survives()


@dataclass(frozen=True)
class Inner:
    number: int
    when: datetime | None = None


@dataclass(frozen=True)
class Outer:
    word: Annotated[str, text(5)]
    inner: Inner
    many: list[Inner] = field(default_factory=list)
    ratio: float = 0.0
    yes: bool = False
    id: Id | None = None
    few: Annotated[int, integer(1, 3)] = 1
    named: Annotated[str, text(8, pattern="a|bc")] = "a"


GOOD: dict[str, Any] = {"word": "hello", "inner": {"number": 1}}


def refusal(data: object, cls: type = Outer) -> dict[str, Any]:
    """What `load` says is wrong, by field."""
    with pytest.raises(PresenceError) as raised:
        load(cls, data)
    assert raised.value.kind is INVALID_INPUT
    named: dict[str, Any] = raised.value.details["fields"]
    return named


def test_unknown_fields_are_ignored_at_every_level() -> None:
    newer = {"word": "hello", "new": 1, "inner": {"number": 1, "new": {}}, "many": [{"number": 2, "new": []}]}
    assert load(Outer, newer) == Outer("hello", Inner(1), [Inner(2)])


@pytest.mark.parametrize("cls", CONTRACT_TYPES, ids=lambda cls: cls.__name__)
def test_every_contract_type_ignores_unknown_fields(cls: type) -> None:
    def unknown_everywhere(schema: Any) -> None:
        assert schema.unknown == "exclude"
        for declared in schema.fields.values():
            inner = declared.inner if isinstance(declared, ma.List) else declared
            if isinstance(inner, ma.Nested):
                unknown_everywhere(inner.schema)

    unknown_everywhere(schema_for(cls))


@pytest.mark.parametrize("number", ["2", True, 2.5, None, [], {}, float("nan"), float("inf")])
def test_only_an_integer_is_an_integer(number: Any) -> None:
    assert list(refusal({**GOOD, "inner": {"number": number}})["inner"]) == ["number"]


@pytest.mark.parametrize("number", ["2", "NaN", True, float("nan"), float("inf"), -float("inf"), 10**400, None, []])
def test_only_a_finite_number_is_a_number(number: Any) -> None:
    assert list(refusal({**GOOD, "ratio": number})) == ["ratio"]


@pytest.mark.parametrize("number", [0, 4, 10**400, -1, "2", True])
def test_a_bounded_integer_is_within_its_bounds(number: Any) -> None:
    assert list(refusal({**GOOD, "few": number})) == ["few"]


@pytest.mark.parametrize("value", [1, 0, "true", "yes", None])
def test_only_true_and_false_are_booleans(value: Any) -> None:
    assert list(refusal({**GOOD, "yes": value})) == ["yes"]


@pytest.mark.parametrize("when", ["2024-01-15T10:30:00", "2024-01-15", "yesterday", "", 1705314600, True, {}, []])
def test_a_time_has_a_zone(when: Any) -> None:
    assert list(refusal({**GOOD, "inner": {"number": 1, "when": when}})["inner"]) == ["when"]


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_is_one_that_utc_has(when: str) -> None:
    assert list(refusal({"number": 1, "when": when}, Inner)) == ["when"]


def test_a_time_is_in_utc_from_the_edge_on() -> None:
    moment = load(Inner, {"number": 1, "when": "2024-01-15T16:00:00+05:30"}).when
    assert (moment, moment and moment.tzinfo) == (datetime(2024, 1, 15, 10, 30, tzinfo=UTC), UTC)


@dataclass(frozen=True)
class Free:
    json: dict[str, Any] | None = field(default=None, metadata=STORABLE)


@pytest.mark.parametrize(
    "value", [{"\x00": 1}, {"a": "\x00"}, {"a": {"b": [1, ["\ud800"]]}}, {"a": {"\x00": 1}}], ids=repr
)
def test_free_json_can_be_stored(value: Any) -> None:
    assert list(refusal({"json": value}, Free)) == ["json"]
    fine = {"a": {"b": [1, ["c", None, 2.5, True]]}}
    assert load(Free, {"json": fine}) == Free(fine)
    assert load(Free, {"json": None}) == Free()


def test_a_time_is_written_as_utc_with_milliseconds() -> None:
    moment = datetime(2024, 1, 15, 16, 0, 0, 123_456, timezone(timedelta(hours=5, minutes=30)))
    assert dump(Inner(1, moment)) == {"number": 1, "when": "2024-01-15T10:30:00.123Z"}


@pytest.mark.parametrize(
    "word",
    ["", "toolong", 1, None, ["x"], "a\x00b", "\ud800"],
    ids=["empty", "long", "int", "null", "list", "nul", "lone"],
)
def test_a_text_is_within_its_length_and_can_be_stored(word: Any) -> None:
    """PostgreSQL keeps no NUL, and half of a surrogate pair is no UTF-8: neither may get as far as that."""
    assert list(refusal({**GOOD, "word": word})) == ["word"]


@pytest.mark.parametrize("value", ["abc", "b", "a\n", "", "A"])
def test_a_pattern_is_of_the_whole_text(value: str) -> None:
    assert list(refusal({**GOOD, "named": value})) == ["named"]


@pytest.mark.parametrize("value", ["x", "0192e4a0-7c1e-7000-8000-00000000000", "0192E4A0-7C1E-7000-8000-000000000000"])
def test_an_id_is_a_uuid_in_lower_case(value: str) -> None:
    assert list(refusal({**GOOD, "id": value})) == ["id"]


def test_every_bad_field_is_named_at_once() -> None:
    bad = {"word": 5, "inner": {"number": "x"}, "many": [{"number": 1}, {}], "ratio": "x", "yes": 1, "few": 9}
    named = refusal(bad)
    assert set(named) == {"word", "inner", "many", "ratio", "yes", "few"}
    assert set(named["many"]) == {1}
    assert json.loads(json.dumps(named)), "the details are JSON"


@pytest.mark.parametrize("data", [None, [], "text", 5, True])
def test_only_an_object_is_a_request(data: object) -> None:
    with pytest.raises(PresenceError, match="JSON object"):
        load(Outer, data)


QUERIES: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"few": "2"}, {"few": 2}),
    ({"few": "2.5"}, {"few": "2.5"}),
    ({"few": "9" * 400}, {"few": "9" * 400}),
    ({"few": "-1"}, {"few": -1}),
    ({"ratio": "0.5"}, {"ratio": 0.5}),
    ({"ratio": "inf"}, {"ratio": "inf"}),
    ({"yes": "TRUE"}, {"yes": True}),
    ({"yes": "0"}, {"yes": False}),
    ({"yes": ""}, {"yes": True}),
    ({"yes": "maybe"}, {"yes": "maybe"}),
    ({"word": "12"}, {"word": "12"}),
    ({"unknown": "12"}, {"unknown": "12"}),
]


def test_a_query_name_that_a_class_does_not_have_is_refused_where_it_says_so() -> None:
    @dataclass(frozen=True)
    class Strict:
        KNOWN_NAMES_ONLY = True

        status: str | None = None

    assert from_query(Strict, {"status": "dead"}) == {"status": "dead"}
    with pytest.raises(PresenceError) as refused:
        from_query(Strict, {"status": "dead", "evnet": "chat"})
    assert refused.value.details == {"fields": {"evnet": ["Unknown."]}}


@pytest.mark.parametrize(("query", "data"), QUERIES, ids=lambda value: str(value)[:30])
def test_a_query_string_becomes_what_the_field_expects(query: dict[str, str], data: dict[str, Any]) -> None:
    assert from_query(Outer, query) == data
