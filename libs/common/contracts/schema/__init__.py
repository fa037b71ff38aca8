"""From a frozen dataclass to its marshmallow schema: the only file that knows how. `writing` writes what goes out.

Unknown fields are ignored at every level (a peer may be a version ahead); known ones are checked
strictly: no `"2"` for a number, no NaN, no naive time. Times are RFC 3339 UTC.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from marshmallow_dataclass import class_schema

from libs.common.clock import rfc3339
from libs.common.contracts.schema.characters import ACCOUNT
from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.spaces import ANY_ID, ID_FORMS, SPACE_TYPES

MOST_PROBLEMS = 50  # of a request that are named
LONGEST_PROBLEM = 200  # characters of one


class Timestamp(fields.AwareDateTime):
    """An aware datetime, written as RFC 3339 UTC with milliseconds."""

    def _deserialize(self, value: Any, *arguments: Any, **options: Any) -> datetime:
        """In UTC from here on: at both ends of the calendar there are local times that have none."""
        moment: datetime = super()._deserialize(value, *arguments, **options)
        try:
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type="datetime") from error

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return None if value is None else rfc3339(value)


class StrictInteger(fields.Integer):
    """A JSON integer: neither a string nor a boolean nor 2.5. 2.0 is one, as JSON Schema has it."""

    def _validated(self, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid", input=value)
        return value


class StrictFloat(fields.Float):
    """A finite JSON number: neither a string nor a boolean."""

    def _validated(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        try:
            number = float(value)
        except OverflowError as error:
            raise self.make_error("special") from error
        if not math.isfinite(number):
            raise self.make_error("special")
        return number


class StrictBoolean(fields.Boolean):
    """`true` or `false`: not 1, not "yes"."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class _Base(Schema):
    class Meta:
        unknown = EXCLUDE

    TYPE_MAPPING = {
        **Schema.TYPE_MAPPING,
        int: StrictInteger,
        float: StrictFloat,
        bool: StrictBoolean,
        datetime: Timestamp,
    }


def _storable(value: Any) -> None:
    """PostgreSQL keeps no NUL, and half of a surrogate pair is no UTF-8 (a header may bring one); at any depth."""
    if isinstance(value, str):
        if "\x00" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
            raise ValidationError("Has characters that are not text.")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            _storable(name)
            _storable(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _storable(item)


def is_storable(value: Any) -> bool:
    """Returns whether free JSON can be kept in the database as it is."""
    try:
        _storable(value)
    except ValidationError:
        return False
    return True


TEXT = r"[^\x00]*"
"""What a text without a pattern of its own may be."""
FREE_JSON = "FreeJson"
"""The name of the published schema of free JSON: `_storable` in its words."""


def storable(**published: Any) -> Mapping[str, Any]:
    """`field(metadata=storable())` of free JSON that is kept in the database; `published` says what else it is."""
    rules = {
        "propertyNames": {"pattern": f"^{TEXT}$"},
        "additionalProperties": {"$ref": f"#/components/schemas/{FREE_JSON}"},
    }
    return {"validate": _storable, "metadata": {"published": {**rules, **published}}}


STORABLE = storable()


def shape(**published: Any) -> Mapping[str, Any]:
    """`field(metadata=shape(...))` of free JSON in an answer: keywords of JSON Schema that say what it is.

    Nothing checks it but the tests, which draw values of it and hold what servers send to it.
    """
    return {"metadata": {"published": published, "is_shape": True}}


FREE = shape(additionalProperties={"$ref": f"#/components/schemas/{FREE_JSON}"})
SETTINGS_OF_SPACE = shape(**{"$ref": "#/components/schemas/SpaceSettings"})
"""`SpaceSettings` in a dict."""


class Pattern(validate.Regexp):
    """The whole text fits. It is published anchored, in what Python's and ECMA-262's expressions have in common."""

    def __init__(self, pattern: str) -> None:
        self._whole = re.compile(f"^(?:{pattern})$")
        super().__init__(self._whole, error="Malformed.")

    def __call__(self, value: Any) -> Any:
        if not self._whole.fullmatch(value):  # `$` alone lets a line's end pass
            raise ValidationError(self._format_error(value))
        return value


def text(
    maximum: int, minimum: int = 1, pattern: str = TEXT, read: Callable[[str], str] | None = None, **published: Any
) -> type[fields.String]:
    """A field type for `Annotated[str, text(...)]`: length in characters, and a pattern if given.

    `read` gives a text that fits its normal form, which fits too. `published` are keywords of JSON Schema that say what
    no pattern can: `format`, `description`.
    """
    rules: list[Any] = [validate.Length(minimum, maximum), _storable, Pattern(pattern)]

    class Text(fields.String):
        def __init__(self, **options: Any) -> None:
            metadata = {**options.get("metadata", {}), "published": published}
            super().__init__(**{**options, "validate": rules, "metadata": metadata})

        def deserialize(self, value: Any, *arguments: Any, **options: Any) -> Any:
            valid = super().deserialize(value, *arguments, **options)
            return read(valid) if read and isinstance(valid, str) else valid

    return Text


def choice(*values: str) -> type[fields.String]:
    """A field type for `Annotated[str, choice(...)]`: one of some texts."""

    class Choice(fields.String):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "validate": validate.OneOf(values)})

    return Choice


def integer(minimum: int, maximum: int) -> type[StrictInteger]:
    """A field type for `Annotated[int, integer(...)]`, both ends included."""

    class Bounded(StrictInteger):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "validate": validate.Range(minimum, maximum)})

    return Bounded


def at_most(count: int, at_least: int = 0) -> dict[str, Any]:
    """`field(metadata=at_most(...))` of a list: how many items it may have."""
    return {"validate": validate.Length(at_least, count)}


_ACCOUNT = re.compile(ACCOUNT)


def _account(written: str) -> str:
    """Returns the account that somebody means by `Alice` or `@alice `, as phones write it."""
    match = _ACCOUNT.fullmatch(written)
    return unicodedata.normalize("NFKC", match[1]).lower() if match else written


Account = Annotated[str, text(64, 3, ACCOUNT, read=_account, description="`Alice` and `@alice ` are `alice`.")]
SpaceType = Annotated[str, choice(*SPACE_TYPES)]
SpaceId = Annotated[
    str, text(300, pattern=ANY_ID, description="In the form of its space_type; any other's names nothing (404).")
]
DocumentId = Annotated[str, text(300, pattern=ID_FORMS["document"])]
Subspace = Annotated[str, text(64, pattern=r"[A-Za-z0-9_-]+")]
Id = Annotated[str, text(36, 36, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")]
ClientId = Annotated[str, text(128)]
Cursor = Annotated[
    str, text(512, pattern="[A-Za-z0-9_-]+", format="cursor", description="A `next_cursor` of the same list.")
]
Reason = Annotated[str, text(500)]
PageSize = Annotated[int, integer(1, 200)]


_schemas: dict[type, Schema] = {}


def schema_for(cls: type) -> Schema:
    """The schema instance of a contract dataclass, made once; nested dataclasses included."""
    if cls not in _schemas:
        _schemas[cls] = class_schema(cls, base_schema=_Base)()
    return _schemas[cls]


def load[T](cls: type[T], data: object) -> T:
    """Check `data` against `cls`. Raises `invalid_input` whose details name every bad field."""
    if not isinstance(data, Mapping):
        raise PresenceError(INVALID_INPUT, "A JSON object is needed.")
    try:
        loaded = cast("T", schema_for(cls).load(dict(data)))
    except ValidationError as error:
        raise PresenceError(INVALID_INPUT, details={"fields": _first(error.messages)}) from error
    _require_one(loaded, exactly_one(cls))
    return loaded


def _first(messages: Any) -> Any:
    """Returns at most `MOST_PROBLEMS` of the problems of a request, each cut: no answer outgrows its question."""
    rest = MOST_PROBLEMS

    def kept(found: Any) -> Any:
        nonlocal rest
        if isinstance(found, Mapping):
            parts = ((name, kept(part)) for name, part in found.items() if rest > 0)
            return {name[:LONGEST_PROBLEM] if isinstance(name, str) else name: part for name, part in parts}
        texts = [str(text)[:LONGEST_PROBLEM] for text in (found if isinstance(found, list) else [found])[:rest]]
        rest -= len(texts)
        return texts

    return kept(messages)


def exactly_one(cls: type) -> tuple[str, ...]:
    """Returns the fields of which a request has exactly one; none for most. `EXACTLY_ONE` of the class declares it."""
    return getattr(cls, "EXACTLY_ONE", ())


def _require_one(loaded: object, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(loaded, name) is not None]
    if names and len(given) != 1:
        text = f"Exactly one of {', '.join(names)}."
        raise PresenceError(INVALID_INPUT, details={"fields": {(given or names)[-1]: [text]}})


def has_field(cls: type, name: str) -> bool:
    """Returns whether a request or reply class has a field of that name."""
    return any(field.name == name for field in dataclass_fields(cls))


def from_query(cls: type, params: Mapping[str, str]) -> dict[str, Any]:
    """Query strings know no types: turn the numbers and booleans `cls` expects into themselves.

    A bare `?unread` is true. What does not parse stays a string, so that `load` names the field. Raises `invalid_input`
    for a name that a class with `KNOWN_NAMES_ONLY` does not have: a filter with a slip in its name would find all.
    """
    declared = schema_for(cls).fields
    unknown = [name for name in params if name not in declared] if getattr(cls, "KNOWN_NAMES_ONLY", False) else []
    if unknown:
        raise PresenceError(INVALID_INPUT, details={"fields": _first({name: ["Unknown."] for name in unknown})})
    return {name: _parse(declared.get(name), value) for name, value in params.items()}


def _parse(field: fields.Field[Any] | None, value: str) -> Any:
    if isinstance(field, StrictBoolean):
        return {"true": True, "1": True, "": True, "false": False, "0": False}.get(value.lower(), value)
    if isinstance(field, StrictInteger) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(field, StrictFloat) and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", value):
        return float(value)
    return value
