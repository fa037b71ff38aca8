"""Titles, texts and times come from Hive, behind the content and without holding it up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from libs.common import cache
from libs.common.errors import PresenceError
from libs.common.hive import HiveClient
from services.sync_worker.locks import TITLES_LOCK, lock
from services.sync_worker.titles.demand import Demand
from services.sync_worker.titles.titles import ASK_AGAIN, NEW_AGE, OLD_AGE, Titles
from tests.integration.sync_worker.world import DEAD, World

MISSES = "SELECT misses FROM posts WHERE permlink = 'nowhere'"
WITHOUT = "SELECT count(*) FROM posts WHERE title IS NULL"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def titles_from(
    world: World, node: str, per_cycle: int = 500, clock: Clock | None = None
) -> AsyncIterator[Titles]:
    hive = HiveClient([node], 5.0)
    await hive.start()
    try:
        yield Titles(world.database, hive, per_cycle, clock or Clock())
    finally:
        await hive.stop()


async def test_titles_follow_the_content(world: World, hive_url: str) -> None:
    await world.sync()

    async with titles_from(world, hive_url) as titles:
        assert await titles.fill() == 213

    photo = "SELECT title, left(description, 12), created_at FROM posts WHERE permlink = 'my-360-photo'"
    assert await world.replica(photo) == [
        ("My 360 photo: the bridge at dawn", "Taken at 5:4", datetime(2024, 3, 1, 12, tzinfo=UTC))
    ]
    assert await world.replica(WITHOUT) == [(0,)]


async def test_a_changed_post_keeps_its_title(world: World, hive_url: str) -> None:
    await world.sync()
    async with titles_from(world, hive_url) as titles:
        await titles.fill()
    await world.primary.execute("UPDATE posts SET votes = votes + 1")

    await world.sync()

    assert await world.replica(WITHOUT) == [(0,)]


async def test_each_cycle_fetches_a_bounded_number_newest_first(world: World, hive_url: str) -> None:
    await world.sync()

    async with titles_from(world, hive_url, per_cycle=20) as titles:
        assert await titles.fill() == 20
        assert await titles.fill() == 20

    newest = (
        "SELECT bool_and(block > (SELECT max(block) FROM posts WHERE title IS NULL)) FROM posts WHERE title IS NOT NULL"
    )
    assert await world.replica(newest) == [(True,)]


async def test_with_hive_away_the_content_is_there_and_titles_come_later(world: World, hive_url: str) -> None:
    await world.sync()
    async with titles_from(world, f"http://{DEAD}") as titles:
        with pytest.raises(PresenceError):
            await titles.fill()
    assert await world.replica(WITHOUT) == [(213,)]

    async with titles_from(world, hive_url) as titles:
        await titles.fill()
    assert await world.replica(WITHOUT) == [(0,)]


async def test_a_post_that_hive_does_not_know_is_asked_for_again_after_a_while(world: World, hive_url: str) -> None:
    await world.primary.execute(
        "INSERT INTO posts (author, permlink, block, type) VALUES ('alice', 'nowhere', 1, '360')"
    )
    await world.sync()
    clock = Clock()

    async with titles_from(world, hive_url, clock=clock) as titles:
        assert await titles.fill() == 213
    async with titles_from(world, hive_url, clock=clock) as titles:  # a worker that was started anew
        assert await titles.fill() == 0
        assert await world.replica(MISSES) == [(1,)]
        clock.now += ASK_AGAIN
        await titles.fill()
        clock.now += ASK_AGAIN
        await titles.fill()
        assert await world.replica(MISSES) == [(2,)]
        clock.now += 3 * ASK_AGAIN
        await titles.fill()
        assert await world.replica(MISSES) == [(3,)]


async def test_the_newest_posts_are_asked_for_again_hourly_and_the_others_within_thirty_days(
    world: World, hive_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sync_worker.titles.titles.NEWEST", 10)
    await world.sync()
    clock = Clock()

    async with titles_from(world, hive_url, clock=clock) as titles:
        await titles.fill()
        assert await titles.fill() == 0
        clock.now += NEW_AGE
        assert await titles.fill() == 10
        clock.now += OLD_AGE
        assert await titles.fill() == 213
    assert OLD_AGE.days < 30


async def test_a_first_pass_leaves_half_of_its_budget_to_what_is_due_again(world: World, hive_url: str) -> None:
    await world.sync()
    clock = Clock()
    async with titles_from(world, hive_url, per_cycle=20, clock=clock) as titles:
        await titles.fill()
        clock.now += NEW_AGE
        await titles.fill()

    assert await world.replica("SELECT count(*) FROM posts WHERE asked_at IS NOT NULL") == [(30,)]


async def test_a_text_that_changed_on_hive_is_found(world: World, hive_url: str) -> None:
    await world.sync()
    clock = Clock()
    async with titles_from(world, hive_url, clock=clock) as titles:
        await titles.fill()
        async with world.database.transaction() as connection:
            await connection.execute(text("UPDATE post_contents SET body = 'older', details = '{}'"))
        clock.now += OLD_AGE
        await titles.fill()

    assert await world.replica("SELECT count(*) FROM post_contents WHERE body = 'older'") == [(0,)]


async def test_what_somebody_opened_is_fetched_first(world: World, hive_url: str) -> None:
    await world.sync()
    wanted = {"alice/my-360-photo": 1.0, "alice/no-such-post": 2.0, "nonsense": 3.0}
    await world.redis.redis.zadd(cache.CONTENT_WANTED, wanted)

    async with titles_from(world, hive_url) as titles:
        assert await Demand(world.redis, titles).look() == 3
        assert await Demand(world.redis, titles).look() == 0

    assert await world.replica("SELECT author, permlink FROM post_contents") == [("alice", "my-360-photo")]


async def test_the_content_of_a_post_goes_with_it(world: World, hive_url: str) -> None:
    await world.sync()
    async with titles_from(world, hive_url) as titles:
        await titles.fill()
    await world.primary.execute("DELETE FROM posts WHERE permlink = 'sculpture-hall'")
    await world.sync()

    kept = "SELECT count(*) FROM post_contents WHERE permlink = 'sculpture-hall'"
    assert await world.replica(kept) == [(0,)]


async def test_only_one_worker_asks_hive(world: World, hive_url: str) -> None:
    await world.sync()

    async with (
        titles_from(world, hive_url) as titles,
        lock(world.database, TITLES_LOCK, wait=False),
    ):
        assert await titles.fill() == 0
