"""What services write is what clients read: replies keep to schema and OpenAPI, and are read back as they were."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings

from libs.common.bus.base import Written
from libs.common.bus.codec import read_reply
from libs.common.contracts import default_registry
from libs.common.contracts.auth import Empty
from libs.common.contracts.registry import Access, Http, Limit, Operation
from libs.common.contracts.schema import schema_for
from libs.common.contracts.schema.writing import dump, encode
from services.gateway.static.openapi import openapi_document
from tests.support.contract_values import instances_of
from tests.support.quick import examples

REGISTRY = default_registry()
OPENAPI: dict[str, Any] = json.loads(json.dumps(openapi_document(REGISTRY, "https://vr.example")))


def promised(operation: Operation[Any, Any]) -> list[jsonschema_rs.Validator]:
    """What OpenAPI says of the JSON that an operation answers with, once for each of its routes."""
    found = []
    for binding in operation.bindings:
        if isinstance(binding, Http) and not binding.media_type:
            answer = OPENAPI["paths"][binding.path][binding.method.lower()]["responses"][str(binding.status)]
            schema = answer["content"]["application/json"]["schema"]
            found.append(jsonschema_rs.validator_for({**schema, "components": OPENAPI["components"]}))
    return found


@pytest.mark.parametrize("operation", list(REGISTRY.operations), ids=lambda operation: operation.name)
def test_every_reply_is_written_as_its_schema_and_openapi_say(operation: Operation[Any, Any]) -> None:
    schema, validators = schema_for(operation.reply), promised(operation)

    @settings(
        max_examples=examples(10), deadline=None, database=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )  # fmt: skip
    @given(instances_of(operation.reply))
    def is_so_written(value: Any) -> None:
        written = encode(value)
        read = json.loads(written)
        assert read == json.loads(json.dumps(schema.dump(value))) == dump(value)
        assert list(read) == list(schema.fields), "in the order of declaration"
        for validator in validators:
            validator.validate(read)
        assert read_reply(operation, Written(written)) == value

    is_so_written()


@dataclass(frozen=True)
class Part:
    number: float
    when: datetime | None = None


@dataclass(frozen=True)
class WiderPart(Part):
    secret: str = "for nobody"


@dataclass(frozen=True)
class Whole:
    count: int
    part: Part
    parts: list[Part]
    named: dict[str, float]
    free: dict[str, Any]


MOMENT = datetime(2024, 1, 15, 10, 30, 0, 123987, UTC)


def whole(**changes: Any) -> Whole:
    fields: dict[str, Any] = {"count": 1, "part": Part(1.0), "parts": [], "named": {}, "free": {}, **changes}
    return Whole(**fields)


@pytest.mark.parametrize("moment", [MOMENT, MOMENT.astimezone(timezone(timedelta(hours=-9)))])
def test_a_time_is_written_as_utc_with_milliseconds_however_deep(moment: datetime) -> None:
    written = dump(whole(part=Part(1.0, moment), parts=[Part(2.0, moment)]))
    assert written["part"]["when"] == written["parts"][0]["when"] == "2024-01-15T10:30:00.123Z"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), Decimal("NaN")])
def test_no_number_that_json_has_not_is_written(number: Any) -> None:
    value = whole(part=Part(number), named={"n": number}, free={"deep": [float(number)]})
    read = json.loads(encode(value), parse_constant=pytest.fail)
    for written in (read, dump(value)):
        assert (written["part"]["number"], written["named"]["n"]) == (None, None)


def test_numbers_of_the_database_are_numbers() -> None:
    counted: Any = Decimal(7)
    written = json.loads(encode(whole(count=counted, part=Part(counted), named={"n": counted})))
    assert (written["count"], written["part"]["number"], written["named"]["n"]) == (7, 7.0, 7.0)


def test_a_value_that_has_more_than_was_declared_tells_no_more() -> None:
    assert dump(whole(part=WiderPart(1.0)))["part"] == {"number": 1.0, "when": None}


def test_what_has_no_fields_is_an_empty_object() -> None:
    assert encode(Empty()) == b"{}"


def test_a_services_reply_is_read_by_field_whatever_a_newer_version_adds() -> None:
    operation = Operation("test.whole", "chat", Empty, Whole, Access.INTERNAL, Limit(1, 1))
    newer = json.dumps({**dump(whole()), "added_later": True}).encode()
    assert read_reply(operation, Written(newer)) == whole()
