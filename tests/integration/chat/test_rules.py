"""Slow mode, and the chain of rules that a text passes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import chat
from libs.common.contracts.chat import React
from libs.common.errors import FORBIDDEN, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from services.chat.messages.new_messages import Post, PostHandlers
from services.chat.rules.filters import Draft, Moderation
from tests.integration.chat.world import World, running
from tests.integration.common.world import guest
from tests.support.refusals import refusal


async def test_slow_mode_holds_everybody_but_moderators(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    await world.post("first")
    with pytest.raises(PresenceError) as caught:
        await world.post("second")
    assert caught.value.kind.code == "slow_mode"
    assert 0 < caught.value.details["retry_after"] <= 61
    for who in ("bob", "mona", "olivia"):
        await world.post("first", who)
        await world.post("second", who)
    assert await refusal(world.post("another's first", "dave")) == "ok"
    assert await refusal(world.post("elsewhere", space_type="global", space_id="lobby")) == "ok"


async def test_a_refused_try_does_not_lengthen_the_wait_and_a_repeated_one_is_no_second(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    first = await world.post("first", client_message_id="c1")
    assert await world.post("first", client_message_id="c1") == first
    assert await refusal(world.post("second")) == "slow_mode"
    await world.owner.sql("UPDATE chat_pace SET posted_at = posted_at - interval '60 seconds'")
    assert await refusal(world.post("second")) == "ok"


async def test_slow_mode_lets_one_of_ten_at_once_through(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    answers = await asyncio.gather(*(refusal(world.post(f"try {n}")) for n in range(10)))
    assert sorted(answers) == ["ok", *["slow_mode"] * 9]


HERE, ELSEWHERE = "203.0.113.9", "198.51.100.7"


def of_guest(number: int, address: str = HERE, *, token: bool = True) -> Caller:
    """Somebody whom nobody has seen before."""
    identity = Identity("guest", f"g{number}", "Guest", token_id=f"token-{number}" if token else None)
    return Caller(identity, "request", address)


@pytest.mark.parametrize("token", [True, False], ids=["with a new token each", "without a token"])
async def test_slow_mode_paces_all_guests_of_an_address_together(world: World, token: bool) -> None:
    await world.settings(slow_mode_seconds=60)
    answers = [await refusal(world.post(f"try {n}", of_guest(n, token=token))) for n in range(5)]
    assert answers == ["ok", *["slow_mode"] * 4]
    assert await refusal(world.post("from elsewhere", of_guest(9, ELSEWHERE))) == "ok"
    assert await refusal(world.post("an account's", "dave")) == "ok"
    assert await refusal(world.post("elsewhere", of_guest(8), space_type="global", space_id="lobby")) == "ok"
    await world.owner.sql("UPDATE chat_pace SET posted_at = posted_at - interval '60 seconds'")
    assert await refusal(world.post("later", of_guest(7))) == "ok"


async def test_slow_mode_lets_one_of_ten_guests_of_an_address_through_at_once(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    answers = await asyncio.gather(*(refusal(world.post(f"try {n}", of_guest(n))) for n in range(10)))
    assert sorted(answers) == ["ok", *["slow_mode"] * 9]


async def test_a_guest_who_is_refused_takes_no_turn_of_its_own(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    await world.post("first", of_guest(1))
    assert await refusal(world.post("too soon", of_guest(2))) == "slow_mode"
    assert await refusal(world.post("from elsewhere", of_guest(2, ELSEWHERE))) == "ok"


async def test_slow_mode_paces_the_reactions_of_an_addresss_guests_and_leaves_accounts_free(world: World) -> None:
    await world.settings(slow_mode_seconds=60)
    said = await world.post("look")
    react = [await refusal(world.call(chat.react, React(said.id, "🎉"), of_guest(n, token=False))) for n in range(4)]
    assert react == ["ok", *["slow_mode"] * 3]
    assert (await world.get(said)).reactions["🎉"]["count"] == 1
    taking_back = React(said.id, "🎉", remove=True)
    assert await refusal(world.call(chat.react, taking_back, of_guest(0, token=False))) == "ok"
    for emoji in ("🎉", "👍"):
        assert await refusal(world.call(chat.react, React(said.id, emoji), "dave")) == "ok"
    assert await refusal(world.call(chat.react, React(said.id, "👍"), of_guest(5, ELSEWHERE))) == "ok"
    assert await refusal(world.post("words have turns of their own", of_guest(6))) == "ok"


async def test_guests_of_an_address_repeat_a_text_no_oftener_than_one_does(world: World) -> None:
    answers = [await refusal(world.post("buy now", of_guest(n, token=False))) for n in range(12)]
    assert answers == [*["ok"] * 10, "rate_limited", "rate_limited"]
    assert await refusal(world.post("buy now", of_guest(20, ELSEWHERE))) == "ok"


@dataclass
class BatchSizes:
    """Records how many posts each batch of the process has; made before the process."""

    sizes: list[int] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write = PostHandlers._write

        async def recorded(handlers: PostHandlers, space: SpaceKey, posts: Sequence[Post]) -> Any:
            self.sizes.append(len(posts))
            return await write(handlers, space, posts)

        monkeypatch.setattr(PostHandlers, "_write", recorded)


@pytest.mark.parametrize("count", [2, 5])
async def test_two_posts_of_one_author_in_one_batch_cannot_both_pass_slow_mode(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    batches = BatchSizes()
    batches.install(monkeypatch)
    async with running(database_url, redis_url) as world:
        await world.settings(slow_mode_seconds=60)
        await world.post("elsewhere", space_type="global", space_id="lobby")  # noted as an account: no post comes late
        batches.sizes.clear()
        outcomes = await asyncio.gather(*(refusal(world.post(f"try {n}")) for n in range(count)))
        assert batches.sizes == [count], "all of them are one batch, so the database knows of no earlier post"
        assert outcomes == ["ok", *["slow_mode"] * (count - 1)]
        assert [message.content for message in (await world.page()).messages] == ["try 0"]


async def test_guests_post_no_links_unless_the_owner_lets_them(world: World) -> None:
    assert await refusal(world.post("see https://dlux.io", guest())) == "forbidden"
    assert await refusal(world.post("see https://dlux.io", "alice")) == "ok"
    await world.settings(settings='{"chat_links": "all"}')
    assert await refusal(world.post("see https://dlux.io", guest())) == "ok"


async def test_the_same_text_over_and_over_is_stopped(world: World) -> None:
    answers = [await refusal(world.post("buy now")) for _ in range(12)]
    assert answers == [*["ok"] * 10, "rate_limited", "rate_limited"]
    assert await refusal(world.post("something else")) == "ok"
    assert await refusal(world.post("buy now", "dave")) == "ok"


async def test_the_owners_blocked_words_are_refused(world: World) -> None:
    await world.settings(settings='{"blocked_words": ["spam"]}')
    for text in ("spam", "SPÄM!", "\uff53\uff50\uff41\uff4d", "sp\u200bam", "spa\u034fm"):
        assert await refusal(world.post(text)) == "forbidden", text
    message = await world.post("spamalot is a musical")
    assert await refusal(world.edit(message, "spam it is")) == "forbidden"
    assert await refusal(world.post("spam", "mona")) == "ok"


async def test_an_installation_puts_its_own_rules_in(database_url: str, redis_url: str) -> None:
    class NoShouting:
        async def check(self, draft: Draft) -> None:
            if draft.content.isupper():
                raise PresenceError(FORBIDDEN, "Not so loud.")

    async with running(database_url, redis_url, [NoShouting()]) as world:
        assert await refusal(world.post("HELLO")) == "forbidden"
        assert await refusal(world.post("hello")) == "ok"


async def test_a_moderator_that_hangs_or_breaks_stops_nobody(database_url: str, redis_url: str) -> None:
    class Hanging:
        async def review(self, draft: Draft) -> str | None:
            await asyncio.Event().wait()
            return "never"

    class Broken:
        async def review(self, draft: Draft) -> str | None:
            raise RuntimeError(draft.content)

    chain = [Moderation(Hanging(), 0.01), Moderation(Broken())]
    async with running(database_url, redis_url, chain) as world:
        assert await refusal(world.post()) == "ok"


@pytest.mark.parametrize("text", ["bell\x07", "escape\x1b[31m", "c1\x85", " ", "\u200b\u2060", "\n\t"])
async def test_control_characters_and_what_cannot_be_seen_are_refused(world: World, text: str) -> None:
    assert await refusal(world.post(text)) == "invalid_input"


async def test_line_ends_become_one_kind(world: World) -> None:
    assert (await world.post("a\r\nb\rc\n\td")).content == "a\nb\nc\n\td"
