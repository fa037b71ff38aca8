"""Whatever happens to the primary's columns and tables: no row of the replica opens, and what is wrong is named."""

import pytest

from services.sync_worker.replication.cycle import Outcome
from services.sync_worker.replication.status import read_status
from tests.integration.sync_worker.primaries import BY_ID, BY_NAME, MIXED, PRIMARIES, fill
from tests.integration.sync_worker.world import DOCUMENTS_BY_ID, INTERVALS, POSTS, World

type Openings = dict[tuple[str, ...], tuple[int, ...]]

COLUMNS = [
    (shape, table, column, change)
    for shape, primary in PRIMARIES.items()
    for table, columns in primary.columns.items()
    for column in columns
    for change in ("RENAME {} TO elsewhere", "DROP {} CASCADE")
]
TABLES = [(shape, table) for shape, primary in PRIMARIES.items() for table in primary.columns]


def opened(before: Openings, after: Openings) -> list[tuple[str, ...]]:
    """Returns the rows that let people do more than before."""
    shut = (0, 0, 0)
    return [
        key
        for key, openness in after.items()
        if any(now > then for now, then in zip(openness, before.get(key, shut), strict=False))
    ]


async def keep(world: World, table: str) -> None:
    await world.primary.execute(f"CREATE TABLE kept AS SELECT * FROM {table}")


async def bring_back(world: World, table: str) -> None:
    await world.primary.execute(f"DROP TABLE IF EXISTS {table} CASCADE; ALTER TABLE kept RENAME TO {table}")


@pytest.mark.parametrize(("shape", "table", "column", "change"), COLUMNS)
async def test_a_column_about_access_that_is_gone_stops_its_table_by_name_and_opens_nothing(
    bare_world: World, shape: str, table: str, column: str, change: str
) -> None:
    world = bare_world
    await fill(world, PRIMARIES[shape])
    assert await world.sync() is Outcome.DONE
    before = await world.openings()
    await keep(world, table)
    await world.primary.execute(f"ALTER TABLE {table} " + change.format(column))

    for _ in range(2):
        assert await world.sync() is Outcome.FAILED

    assert await world.openings() == before
    status = await read_status(world.database, INTERVALS)
    troubles = {one.table: one.last_error for one in status.tables if one.last_error}
    assert not status.current
    assert set(troubles) == {table}
    assert f"lacks the column {column}, " in troubles[table]
    assert f"PRESENCE_SYNC_ABSENT_COLUMNS={table}.{column}" in troubles[table]

    await bring_back(world, table)

    assert await world.sync() is Outcome.DONE
    assert await world.openings() == before
    assert (await read_status(world.database, INTERVALS)).current


@pytest.mark.parametrize(("shape", "table"), TABLES)
async def test_a_table_that_is_renamed_stops_and_opens_nothing(bare_world: World, shape: str, table: str) -> None:
    world = bare_world
    await fill(world, PRIMARIES[shape])
    await world.sync()
    before = await world.openings()
    await world.primary.execute(f"ALTER TABLE {table} RENAME TO elsewhere")

    assert await world.sync() is Outcome.FAILED

    assert await world.openings() == before
    assert f"the primary's table {table} is gone" in (await world.error_of(table) or "")
    await world.primary.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
    assert await world.sync() is Outcome.DONE
    assert await world.openings() == before


@pytest.mark.parametrize("emptying", ["DELETE FROM {}", "TRUNCATE {} CASCADE"])
@pytest.mark.parametrize(("shape", "table"), TABLES)
async def test_a_table_that_is_emptied_opens_nothing_and_all_is_well_when_its_rows_are_back(
    bare_world: World, shape: str, table: str, emptying: str
) -> None:
    world = bare_world
    await fill(world, PRIMARIES[shape])
    await world.sync()
    before = await world.openings()
    await keep(world, table)
    await world.primary.execute("CREATE TABLE kept_permissions AS SELECT * FROM collaboration_permissions")
    await world.primary.execute(emptying.format(table))

    await world.sync()

    assert opened(before, await world.openings()) == []
    await bring_back(world, table)
    if table != "collaboration_permissions":  # which went with the documents
        await world.primary.execute(
            "DROP TABLE collaboration_permissions; ALTER TABLE kept_permissions RENAME TO collaboration_permissions"
        )
    assert await world.sync() is Outcome.DONE
    assert await world.openings() == before


@pytest.mark.parametrize("shape", PRIMARIES)
async def test_a_real_primary_starts_without_a_setting(bare_world: World, shape: str) -> None:
    await fill(bare_world, PRIMARIES[shape])

    assert await bare_world.sync() is Outcome.DONE


@pytest.mark.parametrize(
    ("shape", "table", "column"),
    [
        ("by id", "posts", "hidden"),
        ("by id", "collaboration_documents", "is_deleted"),
        ("by id", "collaboration_documents", "comment_permissions"),
        ("by name", "collaboration_documents", "is_public"),
        ("by name", "collaboration_permissions", "can_read"),
        ("mixed", "presence_permissions", "permission"),
    ],
)
async def test_a_primary_that_never_had_a_column_needs_a_setting_that_says_so(
    bare_world: World, shape: str, table: str, column: str
) -> None:
    world = bare_world
    await fill(world, PRIMARIES[shape])
    await world.primary.execute(f"ALTER TABLE {table} DROP {column} CASCADE")

    assert await world.sync() is Outcome.FAILED
    assert await world.replica(f"SELECT count(*) FROM {table}") == [(0,)]
    assert f"PRESENCE_SYNC_ABSENT_COLUMNS={table}.{column}" in (await world.error_of(table) or "")

    world.absent = frozenset({f"{table}.{column}"})
    await world.sync()
    assert await world.error_of(table) is None


async def test_a_column_that_not_every_primary_has_is_required_once_it_was_seen(bare_world: World) -> None:
    world = bare_world
    await fill(world, BY_NAME)
    await world.sync()
    await world.primary.execute(
        "ALTER TABLE collaboration_documents ADD is_deleted boolean DEFAULT false;"
        "UPDATE collaboration_documents SET is_deleted = true WHERE permlink = 'open'"
    )
    await world.sync()
    before = await world.openings()
    await world.primary.execute("ALTER TABLE collaboration_documents DROP is_deleted")

    assert await world.sync() is Outcome.FAILED

    assert await world.openings() == before
    assert "lacks the column is_deleted" in (await world.error_of("collaboration_documents") or "")


async def test_a_table_that_a_primary_need_not_have_may_be_said_to_be_gone(bare_world: World) -> None:
    world = bare_world
    await fill(world, BY_ID)
    await world.sync()
    await world.primary.execute("DROP TABLE presence_permissions")
    assert await world.sync() is Outcome.FAILED

    world.absent = frozenset({"presence_permissions"})

    assert await world.sync() is Outcome.DONE
    assert await world.replica("SELECT count(*) FROM presence_permissions") == [(0,)]


async def test_a_column_that_is_back_without_values_opens_nothing(bare_world: World) -> None:
    world = bare_world
    await fill(world, MIXED)
    await world.sync()
    before = await world.openings()
    for table, columns in MIXED.columns.items():
        for column in set(columns) & {"hidden", "flagged", "is_public", "is_deleted", "can_read", "can_edit"}:
            await world.primary.execute(f"ALTER TABLE {table} DROP {column}; ALTER TABLE {table} ADD {column} boolean")

    await world.sync()

    assert opened(before, await world.openings()) == []


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("posts", "hidden"),
        ("posts", "flagged"),
        ("collaboration_documents", "is_public"),
        ("collaboration_documents", "is_deleted"),
        ("collaboration_permissions", "permission"),
        ("presence_permissions", "permission"),
    ],
)
async def test_a_row_whose_access_cannot_be_read_any_more_closes(bare_world: World, table: str, column: str) -> None:
    world = bare_world
    await fill(world, BY_ID)
    await world.sync()
    await world.primary.execute(
        f"ALTER TABLE {table} ALTER {column} DROP DEFAULT, ALTER {column} TYPE text USING 'perhaps'"
    )

    await world.sync()

    after = await world.openings()
    assert [openness for (name, *_), openness in after.items() if name == table and openness[0] > 0] == []


async def test_one_row_that_cannot_be_read_any_more_closes_alone_and_opens_when_it_can_be(bare_world: World) -> None:
    world = bare_world
    await fill(world, BY_ID)
    await world.primary.execute(
        "ALTER TABLE posts ALTER hidden DROP DEFAULT, ALTER hidden TYPE text USING hidden::text"
    )
    await world.sync()
    before = await world.openings()
    await world.primary.execute("UPDATE posts SET hidden = 'perhaps' WHERE permlink = 'open'")
    await world.sync()

    assert ("posts", "alice", "open") not in {
        key for key, openness in (await world.openings()).items() if any(openness)
    }
    assert await world.epoch("post:alice/open") == 1
    assert await world.epoch("post:alice/second") == 0

    await world.primary.execute("UPDATE posts SET hidden = 'false' WHERE permlink = 'open'")
    assert await world.sync() is Outcome.DONE
    assert await world.openings() == before


async def test_a_row_that_the_replica_cannot_take_closes(bare_world: World) -> None:
    world = bare_world
    await world.primary.execute(POSTS + ";" + DOCUMENTS_BY_ID)
    await world.primary.execute("ALTER TABLE posts ADD tags json")
    await world.add_posts(4)
    await world.sync()
    await world.primary.execute("""UPDATE posts SET hidden = true, tags = '"\\u0000"' WHERE permlink = 'post-2'""")

    await world.sync()

    assert await world.replica("SELECT permlink FROM posts WHERE hidden") == [("post-2",)]
    assert await world.epoch("post:mass/post-2") == 1
