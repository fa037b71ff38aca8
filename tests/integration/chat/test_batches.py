"""Many write in one space at once: one transaction writes what waited, and everybody is judged alone."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.common.contracts.chat import Message
from libs.common.errors import PresenceError
from libs.common.identity import Identity
from libs.common.ids import new_id
from services.chat.rules.filters import Draft
from tests.integration.chat.world import HALL, World, running
from tests.integration.common.world import guest
from tests.support.refusals import refusal
from tests.support.servers import Servers
from tests.support.waiting import eventually

POSTERS = 100


async def test_a_hundred_at_once_and_each_gets_what_it_deserves(world: World) -> None:
    """One is invalid, one banned, one muted, one answers nothing, one has a blocked word, and two are the same."""
    await world.settings(settings='{"blocked_words": ["spam"]}')
    parent = await world.post("parent")
    odd: list[Coroutine[Any, Any, Message]] = [
        world.post("with a bell \x07", guest("invalid")),
        world.post("let me in", "banned"),
        world.post("let me speak", "muted"),
        world.post("to nobody", guest("lonely"), parent_message_id=new_id()),
        world.post("spam", guest("spammer")),
        world.post("said twice", guest("twin"), client_message_id="same"),
        world.post("said twice", guest("twin"), client_message_id="same"),
    ]
    plain = [
        world.post(f"number {n}", guest(f"g{n}"), parent_message_id=parent.id if n % 2 else None)
        for n in range(POSTERS - len(odd))
    ]
    half = len(plain) // 2
    answers = await asyncio.gather(*plain[:half], *odd, *plain[half:], return_exceptions=True)
    strange = answers[half : half + len(odd)]
    codes = [answer.kind.code for answer in strange if isinstance(answer, PresenceError)]
    assert codes == ["invalid_input", "banned", "muted", "not_found", "forbidden"]
    assert isinstance(strange[5], Message)
    assert strange[5] == strange[6]

    written = {answer.id: answer for answer in answers if isinstance(answer, Message)}
    assert len(written) == len(plain) + 1
    page = (await world.page(limit=200)).messages[1:]
    assert page == sorted(written.values(), key=lambda message: message.seq), "an ack is what readers find"
    assert [message.seq for message in page] == list(range(2, len(page) + 2)), "and takes no number that others miss"
    assert (await world.get(parent)).thread_count == sum(message.parent_message_id is not None for message in page)
    transactions = await world.owner.sql("SELECT DISTINCT xmin::text FROM chat_messages")
    assert len(transactions) < len(page) / 4, "they were written together"
    await eventually(lambda: len(world.bus.published) == len(page) + 1)
    assert [event.seq for event in world.bus.published] == list(range(1, len(page) + 2)), "told in that order"
    assert [event.payload["id"] for event in world.bus.published[1:]] == [message.id for message in page]


async def test_facts_of_a_batch_name_who_caused_them(world: World) -> None:
    await asyncio.gather(*(world.post(f"by {n}", guest(str(n))) for n in range(8)))
    rows = await world.owner.sql("SELECT actor, payload FROM event_log")
    assert {(row.actor, row.payload["content"]) for row in rows} == {(f"guest:{n}", f"by {n}") for n in range(8)}


async def test_a_refused_post_leaves_no_trace(world: World) -> None:
    """So that it may come again under the same id, once it is allowed."""
    await world.settings(chat_enabled=False)
    asked = [world.post(f"number {n}", guest(str(n)), client_message_id="c") for n in range(5)]
    assert await asyncio.gather(*map(refusal, asked)) == ["forbidden"] * 5
    assert await world.owner.sql("SELECT 1 FROM chat_commands") == []
    await world.owner.sql("UPDATE presence_space_settings SET chat_enabled = true")
    again = [world.post(f"number {n}", guest(str(n)), client_message_id="c") for n in range(5)]
    assert await asyncio.gather(*map(refusal, again)) == ["ok"] * 5


async def test_the_same_text_many_times_at_once_is_stopped(world: World) -> None:
    answers = await asyncio.gather(*(refusal(world.post("buy now", guest())) for _ in range(12)))
    assert answers == [*["ok"] * 10, "rate_limited", "rate_limited"]
    again = [refusal(world.post("once", guest("2"), client_message_id="c")) for _ in range(12)]
    assert await asyncio.gather(*again) == ["ok"] * 12, "a repeated command is not said again"


class Gate:
    """A filter that looks at some texts for as long as the test wants, and breaks at others."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def check(self, draft: Draft) -> None:
        if draft.content == "suspicious":
            await self.opened.wait()
        if draft.content == "unlucky":
            raise ZeroDivisionError


async def test_a_text_that_is_still_looked_at_keeps_nobody_waiting(servers: Servers) -> None:
    gate = Gate()
    async with running(await servers.new_database(), servers.new_redis_database(), [gate]) as world:
        slow = asyncio.create_task(world.post("suspicious", client_message_id="slow"))
        others = await asyncio.gather(*(world.post(f"number {n}", guest(str(n))) for n in range(10)))
        assert not slow.done()
        gate.opened.set()
        assert (await slow).seq == max(message.seq for message in others) + 1
        assert (await world.post("suspicious", client_message_id="slow")) == await slow


async def test_a_filter_that_breaks_costs_the_text_that_broke_it(servers: Servers) -> None:
    async with running(await servers.new_database(), servers.new_redis_database(), [Gate()]) as world:
        texts = [*(f"number {n}" for n in range(5)), "unlucky", *(f"number {n}" for n in range(5, 10))]
        asked = (world.post(text, guest(str(n))) for n, text in enumerate(texts))
        answers = await asyncio.gather(*map(refusal, asked))
        assert answers == ["internal" if text == "unlucky" else "ok" for text in texts]
        assert len((await world.page()).messages) == 10


async def test_two_processes_write_replies_and_deletions_across_each_other(servers: Servers) -> None:
    """The same commands at both: one message each, exact counts, and nobody waits for another for ever."""
    database, redis = await servers.new_database(), servers.new_redis_database()
    async with running(database, redis) as one, running(database, redis, content="") as two:
        root = await one.post("root")
        replies = [await one.post(f"reply {n}", parent_message_id=root.id) for n in range(6)]
        parents = [root, *replies[3:]]

        def commands(world: World) -> list[Coroutine[Any, Any, Message]]:
            posts = [
                world.post(f"p{n}", guest(str(n)), client_message_id=str(n), parent_message_id=parents[n % 4].id)
                for n in range(40)
            ]
            return [*posts, *(world.delete(reply) for reply in replies[:3])]

        answers = await asyncio.gather(*commands(one), *commands(two))
        half = len(answers) // 2
        assert [m.id for m in answers[:half]] == [m.id for m in answers[half:]]
        found = {message.id: message for message in (await one.page(limit=200)).messages}
        counted = Counter(m.parent_message_id for m in found.values() if not m.is_deleted)
        assert [found[p.id].thread_count for p in parents] == [counted[p.id] for p in parents]
        assert sorted(row.seq for row in await one.owner.sql("SELECT seq FROM event_log")) == list(range(1, 51))


# A batch is what the same posts one after the other would have been.

WHO = st.sampled_from(["alice", "dave", "mona", "muted", "banned", guest("1"), guest("2")])
TEXTS = st.sampled_from(["same", "same", "hello @bob", "see dlux.io", "spam", "\x07"])
PARENTS = st.sampled_from([None, 0, 1, "gone", "nowhere"])
POST = st.tuples(WHO, TEXTS, PARENTS, st.booleans())  # the last: whether it is one that the client repeats
type Asked = tuple[str | Identity, str, int | str | None, bool]


async def outcome_of(world: World, space: dict[str, Any], asked: Asked, parents: dict[Any, str]) -> Any:
    who, text, parent, repeated = asked
    client_id = f"{text} {parent}" if repeated and text.isprintable() else None
    request = {**space, "client_message_id": client_id, "parent_message_id": parents.get(parent)}
    try:
        message = await world.post(text, who, **request)
    except PresenceError as error:
        return error.kind.code
    return message.seq, message.content, message.display_name, message.mentions


async def prepared(world: World, number: int, name: str, slow: int) -> tuple[dict[str, Any], dict[Any, str]]:
    """A space with two messages and a deleted one, and everybody's standing as in the hall."""
    space = {**HALL, "space_type": "event", "space_id": f"{name}-{number}"}
    for table, columns in (
        ("space_roles", "account, role, given_by"),
        ("space_sanctions", "kind, subject_kind, subject, reason, imposed_by"),
    ):
        made = "id, " if table == "space_sanctions" else ""
        await world.owner.sql(
            f"""INSERT INTO {table} ({made}space_type, space_id, {columns})
                SELECT {"gen_random_uuid(), " if made else ""}'event', :id, {columns} FROM {table}
                WHERE space_id = 'bob/hall'""",
            id=space["space_id"],
        )
    parents: dict[Any, str] = {n: (await world.post(f"parent {n}", "olivia", **space)).id for n in range(2)}
    gone = await world.post("gone", "olivia", **space)
    await world.delete(gone, "olivia")
    await world.owner.sql(
        """INSERT INTO presence_space_settings (space_type, space_id, slow_mode_seconds, settings)
           VALUES ('event', :id, :slow, '{"blocked_words": ["spam"]}')""",
        id=space["space_id"],
        slow=slow,
    )
    return space, {**parents, "gone": gone.id, "nowhere": new_id()}


async def state_of(world: World, space: dict[str, Any]) -> Any:
    messages = (await world.page("olivia", **space, limit=200)).messages
    told = await world.owner.sql(
        "SELECT account, kind, count(*) AS count FROM notifications WHERE space_id = :id GROUP BY account, kind",
        id=space["space_id"],
    )
    paced = await world.owner.sql("SELECT author_key FROM chat_pace WHERE space_id = :id", id=space["space_id"])
    return (
        [(m.seq, m.content, m.display_name, m.thread_count, m.is_deleted) for m in messages],
        sorted((row.account, row.kind, row.count) for row in told),
        sorted(row.author_key for row in paced),
    )


@pytest.mark.timeout(600)
async def test_a_batch_is_what_its_posts_one_by_one_would_be(servers: Servers) -> None:
    async with running(await servers.new_database(), servers.new_redis_database()) as world:
        loop, number = asyncio.get_running_loop(), 0
        for who in ("alice", "dave", "mona", "muted", "banned", "olivia"):  # noted as accounts, so that none comes late
            await refusal(world.post(f"here is {who}", who))

        async def compare(posts: list[Asked], slow: int) -> None:
            nonlocal number
            number += 1
            together, its = await prepared(world, number, "together", slow)
            apart, theirs = await prepared(world, number, "apart", slow)
            batch = await asyncio.gather(*(outcome_of(world, together, asked, its) for asked in posts))
            single = [await outcome_of(world, apart, asked, theirs) for asked in posts]
            assert batch == single
            assert await state_of(world, together) == await state_of(world, apart)

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(POST, min_size=2, max_size=10), st.sampled_from([0, 60]))
        def run(posts: list[Asked], slow: int) -> None:
            asyncio.run_coroutine_threadsafe(compare(posts, slow), loop).result(60)

        await asyncio.to_thread(run)
