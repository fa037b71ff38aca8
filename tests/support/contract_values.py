"""Values of contract dataclasses, as hypothesis draws them from their type hints and rules."""

import types
import typing
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any

from hypothesis import strategies as st
from marshmallow import ValidationError, validate
from marshmallow import fields as ma

from libs.common.contracts.moderation import SpaceSettings
from libs.common.contracts.schema import TEXT, Pattern, exactly_one
from libs.common.contracts.schema.writing import dump

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip
MOMENTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: MOMENTS,
    date: st.dates(),
    Any: JSON,
}


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Values that fit a type hint of a contract dataclass."""
    if is_dataclass(hint):
        return instances_of(typing.cast("type", hint))
    if hint in SIMPLE:
        return SIMPLE[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return values_of_field(arguments[1]())
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(st.none() if argument is types.NoneType else values_of(argument) for argument in arguments))
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=3)
    assert origin is dict, hint
    return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=3)


def values_of_field(declared: ma.Field[Any]) -> st.SearchStrategy[Any]:
    """Values that pass the field's own rules, in their normal form."""
    rules: dict[type, Any] = {type(rule): rule for rule in declared.validators}
    if validate.OneOf in rules:
        return st.sampled_from(list(rules[validate.OneOf].choices))
    if validate.Range in rules:
        return st.integers(rules[validate.Range].min, rules[validate.Range].max)
    if Pattern in rules and rules[Pattern].regex.pattern != f"^(?:{TEXT})$":
        made = st.from_regex(rules[Pattern].regex, fullmatch=True)
    else:
        made = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
    return made.filter(lambda value: passes(declared, value)).map(declared.deserialize)


def passes(declared: ma.Field[Any], value: Any) -> bool:
    try:
        declared.deserialize(value)
    except ValidationError:
        return False
    return True


def values_of_shape(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of what an answer's free JSON is said to be (`shape`)."""
    if "$ref" in schema:
        return instances_of(SpaceSettings).map(dump) if schema["$ref"].endswith("/SpaceSettings") else JSON
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of(*(values_of_shape(one) for one in schema["oneOf"]))
    kind = next(iter(schema["type"])) if isinstance(schema.get("type"), list) else schema.get("type", "object")
    if kind == "array" or "items" in schema:
        return st.lists(values_of_shape(schema["items"]), max_size=3)
    if kind == "object":
        named = {name: values_of_shape(field) for name, field in schema.get("properties", {}).items()}
        needed = {name: named.pop(name) for name in schema.get("required", ()) if name in named}
        if not named and not needed:
            return st.dictionaries(st.text(max_size=5), values_of_shape(schema["additionalProperties"]), max_size=3)
        return st.fixed_dictionaries(needed, optional=named)
    if kind == "number":
        return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)
    return SIMPLE[{"string": str, "integer": int}[kind]]


def values_of_member(member: Field[Any], hint: Any) -> st.SearchStrategy[Any]:
    told = member.metadata.get("metadata", {})
    return values_of_shape(told["published"]) if told.get("is_shape") else values_of(hint)


def instances_of(cls: type) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    values = {f.name: values_of_member(f, hints[f.name]).filter(keeps_rules_of(f)) for f in fields(cls)}
    alternatives = exactly_one(cls)
    if not alternatives:
        return st.builds(cls, **values)
    given = {name: values[name].filter(lambda value: value is not None) for name in alternatives}
    nothing = dict.fromkeys(alternatives, st.none())
    return st.one_of(*(st.builds(cls, **{**values, **nothing, name: given[name]}) for name in alternatives))


def keeps_rules_of(member: Field[Any]) -> Callable[[Any], bool]:
    """Whether a value passes what the dataclass's field itself demands."""
    rule = member.metadata.get("validate")
    return lambda value: rule is None or value is None or passes(ma.Raw(validate=rule), value)
