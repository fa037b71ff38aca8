"""Writes contract dataclasses as JSON, once: the bytes of a reply travel from the service that made it to the client.

What a field becomes is read from its marshmallow schema, so what goes out keeps the rules of what comes in: times are
RFC 3339 UTC with milliseconds, numbers are of their field's kind, and none is NaN.
"""

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

import msgspec
from marshmallow import Schema, fields

from libs.common.clock import rfc3339
from libs.common.contracts.schema import Timestamp, schema_for

type _Write = Callable[[Any], dict[str, Any]]
type _Convert = Callable[[Any], Any]
_encode = msgspec.json.Encoder().encode
_writers: dict[type, _Write] = {}


def encode(value: Any) -> bytes:
    """The JSON object of a contract dataclass. Raises `TypeError` for free JSON in it that is none."""
    return _encode(_writer(type(value))(value))


def dump(value: Any) -> dict[str, Any]:
    """The JSON-ready form of a contract dataclass: what `encode` writes."""
    return cast("dict[str, Any]", msgspec.to_builtins(_writer(type(value))(value)))


def _writer(cls: type) -> _Write:
    """Returns what makes a dict of an instance, made once."""
    writer = _writers.get(cls)
    if writer is None:
        writer = _writers[cls] = _write_as(schema_for(cls))
    return writer


def _write_as(schema: Schema) -> _Write:
    """Makes dicts with the fields that the schema declares, whatever more a value has."""
    names = list(schema.fields)
    converted = [(name, convert) for name, field in schema.fields.items() if (convert := _conversion(field))]
    if len(names) < 2:  # of which `attrgetter` makes no tuple
        return lambda value: {name: _one(getattr(value, name), dict(converted).get(name)) for name in names}
    read: Callable[[Any], Any] = attrgetter(*names)

    def write(value: Any) -> dict[str, Any]:
        written = dict(zip(names, read(value), strict=True))
        for name, convert in converted:
            item = written[name]
            if item is not None:
                written[name] = convert(item)
        return written

    return write


def _one(value: Any, convert: _Convert | None) -> Any:
    return value if value is None or convert is None else convert(value)


def _conversion(field: fields.Field[Any]) -> _Convert | None:
    """Returns what makes a field's value, never None, its JSON; None where msgspec writes it as it is."""
    if isinstance(field, Timestamp):
        return rfc3339
    if isinstance(field, fields.Float):
        return _number
    if isinstance(field, fields.Integer):
        return _integer
    if isinstance(field, fields.Nested):
        return _write_as(field.schema)
    if isinstance(field, fields.List):
        return _each(_conversion(field.inner))
    if isinstance(field, fields.Dict) and field.value_field:
        return _each_value(_conversion(field.value_field))
    return None


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int:
    """The database counts in decimals too."""
    return value if type(value) is int else int(value)


def _each(convert: _Convert | None) -> _Convert | None:
    return None if convert is None else lambda items: [_one(item, convert) for item in items]


def _each_value(convert: _Convert | None) -> _Convert | None:
    return None if convert is None else lambda items: {name: _one(item, convert) for name, item in items.items()}
