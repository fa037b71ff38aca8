"""The statements for the primary's tables. All names in them are constants of `tables/`, or types of its catalogue.

Pages follow the key by keyset, in the primary's own collation, so that its index serves them; whether
that sorts as ours does is never relied on. Rows come as JSON, because the deployments' types differ and
one value that a driver cannot decode must not cost a page. Of a text no more is asked for than is kept;
of a large column, its MD5.
"""

from collections.abc import Iterable, Mapping

from services.sync_worker.tables.table import Shape, Table

type Columns = Mapping[str, str]  # column → type

MOST_CHARACTERS = 400  # of a text; more than any that is kept
_TEXTS = {"text", "character varying", "character"}
RECENT = "presence_recent"
HASH = 'hashtextextended(({key}) COLLATE "C", 0)'
PROBE = HASH.format(key="current_setting('server_encoding')")  # the same on both sides, or blocks cannot be compared
SUMS = "SELECT (h & {last})::int AS block, count(*) AS rows, sum(h)::text AS hashes FROM ({keys} OFFSET 0) k GROUP BY 1"


def page(table: Table, shape: Shape, columns: Columns, limit: int, floor: int | None, *, is_first: bool) -> str:
    """Returns the statement for the next `limit` keys, behind the key that it is given unless `is_first`.

    A group of rows `is_recent` if one of them may have been written in or after the transaction `floor`.
    """
    behind = [] if is_first else [f"({_list(shape.key)}) > ({_parameters(shape, columns)})"]
    return f"{_groups(table, shape, columns, behind, floor)} LIMIT {limit:d}"


def find(table: Table, shape: Shape, columns: Columns) -> str:
    """Returns the statement for the rows of some keys, which it takes as one array of texts a column."""
    return _groups(table, shape, columns, [_among_given(shape, columns)], None)


def large(table: Table, shape: Shape, columns: Columns) -> str:
    """Returns the statement for the large column of some keys' rows, its MD5, and whether it is a Yjs state."""
    key = _texts(shape.key)
    where = " AND ".join([*_of_shape(shape, columns), _among_given(shape, columns)])
    value = _large(table, shape, columns)
    return (
        f"SELECT ARRAY[{key}] AS key, {value} AS value, md5({value}) AS md5, {_is_yjs(shape, columns)} AS is_yjs "  # noqa: S608
        f'FROM "{table.name}" WHERE {where}'
    )


def piece(table: Table, shape: Shape, columns: Columns) -> str:
    """Returns the statement for bytes of the large column of the row of one key that has a certain MD5.

    Behind the key it takes the MD5, the number of the first byte, from 1, and how many they are. Bytes, for it would
    count characters from the beginning.
    """
    where = " AND ".join([*_of_shape(shape, columns), _among_given(shape, columns)])
    md5, first, length = range(len(shape.key) + 1, len(shape.key) + 4)
    value = f'SELECT {_large(table, shape, columns)} AS value FROM "{table.name}" WHERE {where}'  # noqa: S608
    part = f"substring(convert_to(value, 'UTF8') FROM ${first} FOR ${length})"
    return f"SELECT {part} AS piece FROM ({value}) r WHERE md5(value) = ${md5} LIMIT 1"  # noqa: S608


def large_sizes(table: Table, shape: Shape, columns: Columns) -> str:
    """Returns the statement for how many bytes the large column has in some keys' rows, and whether of a Yjs state."""
    key = _texts(shape.key)
    where = " AND ".join([*_of_shape(shape, columns), _among_given(shape, columns)])
    size = f"coalesce(sum(octet_length({_large(table, shape, columns)})), 0)::bigint"
    return (
        f"SELECT ARRAY[{key}] AS key, {size} AS bytes, bool_or({_is_yjs(shape, columns)}) AS is_yjs "  # noqa: S608
        f'FROM "{table.name}" WHERE {where} GROUP BY {_list(shape.key)}'
    )


def changed_keys(table: Table, shape: Shape, columns: Columns, floor: int, limit: int) -> str:
    """Returns the statement for the keys of rows that may have been written in or after the transaction `floor`."""
    where = " AND ".join([*_of_shape(shape, columns), _is_recent(floor)])
    return f'SELECT DISTINCT ARRAY[{_texts(shape.key)}] AS key FROM "{table.name}" WHERE {where} LIMIT {limit:d}'  # noqa: S608


def sums(table: Table, shape: Shape, columns: Columns, blocks: int) -> str:
    """Returns the statement for the number and the sum of the key hashes of each of so many blocks' rows."""
    return SUMS.format(last=blocks - 1, keys=f"SELECT {_hashed(shape)} AS h {_from(table, shape, columns)}")


def keys_in_blocks(table: Table, shape: Shape, columns: Columns, blocks: int) -> str:
    """Returns the statement for the keys in some of so many blocks, which it takes as an array."""
    block = f"({_hashed(shape)} & {blocks - 1}) = ANY($1::bigint[])"
    return f"SELECT DISTINCT ARRAY[{_texts(shape.key)}] AS key {_from(table, shape, columns)} AND {block}"


def _groups(table: Table, shape: Shape, columns: Columns, conditions: Iterable[str], floor: int | None) -> str:
    wanted = dict.fromkeys([*shape.key, *(column for column in shape.columns if column in columns)])
    values = ", ".join(_value(table, shape, column, columns) for column in wanted)
    recent = "false" if floor is None else _is_recent(floor)
    where = " AND ".join([*_of_shape(shape, columns), *conditions])
    key = _list(shape.key)
    return (
        f"SELECT ARRAY[{_texts(shape.key)}] AS key, json_agg(r)::text AS rows, bool_or({RECENT}) AS recent "  # noqa: S608
        f'FROM (SELECT {values}, {recent} AS {RECENT} FROM "{table.name}" WHERE {where}) r '
        f"GROUP BY {key} ORDER BY {key}"
    )


def _value(table: Table, shape: Shape, column: str, columns: Columns) -> str:
    if column in (table.large, shape.yjs):
        return f'md5("{column}"::text) AS "{column}"'
    if columns[column] in _TEXTS and column not in shape.key:
        return f'left("{column}", {MOST_CHARACTERS}) AS "{column}"'
    return f'"{column}"'


def _large(table: Table, shape: Shape, columns: Columns) -> str:
    """Returns what a row's large value is: the Yjs state, else the plain one."""
    present = [f'"{column}"::text' for column in (shape.yjs, table.large) if column in columns]
    return f"coalesce({', '.join(present)})"


def _is_yjs(shape: Shape, columns: Columns) -> str:
    return f'"{shape.yjs}" IS NOT NULL' if shape.yjs in columns else "false"


def _is_recent(floor: int) -> str:
    # Ages are compared modulo 2^32, as transaction ids are: an old row may look new, and a new one never old.
    return f"age(xmin) <= age('{floor % 2**32}'::xid)"


def _from(table: Table, shape: Shape, columns: Columns) -> str:
    return f'FROM "{table.name}" WHERE {" AND ".join(_of_shape(shape, columns))}'


def _of_shape(shape: Shape, columns: Columns) -> list[str]:
    """Returns the conditions for rows of this shape in a table that may hold others as well."""
    conditions = [f'"{column}" IS NOT NULL' for column in shape.key]
    if shape.unless and columns.keys() >= set(shape.unless):
        named = " AND ".join(f'"{column}" IS NOT NULL' for column in shape.unless)
        conditions.append(f"NOT ({named})")
    return conditions


def _among_given(shape: Shape, columns: Columns) -> str:
    names = [f"k{number}" for number in range(len(shape.key))]
    arrays = ", ".join(f"${number}::text[]" for number in range(1, len(names) + 1))
    cast = ", ".join(f"{name}::{columns[column]}" for name, column in zip(names, shape.key, strict=True))
    return f"({_list(shape.key)}) IN (SELECT {cast} FROM unnest({arrays}) AS k({', '.join(names)}))"  # noqa: S608


def _hashed(shape: Shape) -> str:
    """Returns the hash of the key that the replica gives to a row of this shape."""
    parts = [
        "concat_ws('/', " + _texts(columns) + ")" if len(columns) > 1 else _texts(columns) for columns in shape.names
    ]
    return HASH.format(key=" || E'\\n' || ".join(parts))


def _list(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _texts(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"::text' for name in names)


def _parameters(shape: Shape, columns: Columns) -> str:
    return ", ".join(f"${number}::text::{columns[column]}" for number, column in enumerate(shape.key, 1))
