"""What is no call of an operation is limited by address too: failed logins, refused calls, health and every page."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from libs.common.bus.base import Caller
from libs.common.contracts import analytics, log
from libs.common.contracts.log import HeadNumbers
from libs.common.contracts.registry import Limit
from libs.common.edge import gatekeeper
from libs.common.edge.limits import LimitHere
from services.gateway import refusals, server
from services.gateway.refusals import PROMPT
from tests.integration.gateway.conftest import Run
from tests.integration.gateway.world import OPERATOR_TOKEN, ORIGIN, Answer, World, is_error
from tests.support.waiting import eventually

FACTOR = 0.05
FAILURES, PAGES = round(gatekeeper.FAILURES.calls * FACTOR), round(server.PAGES.calls * FACTOR)
ELSEWHERE = {"X-Forwarded-For": "192.0.2.7"}


@pytest.fixture
async def strict(redis_url: str, run: Run) -> Any:
    """A gateway with a twentieth of each limit."""
    async with run(redis_url, rate_limit_factor=FACTOR) as world:
        yield world


async def ask(world: World, path: str, times: int, **headers: str) -> list[Answer]:
    return [await world.ask("GET", path, headers=headers) for _ in range(times)]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


@pytest.mark.parametrize(
    ("path", "bearer"),
    [("/api/auth/me", "Bearer junk"), ("/api/spaces", "Bearer a.b.c"), ("/api/admin/status", "Bearer guessed")],
)
async def test_refused_bearers_are_limited_by_address_and_told_when_to_come_back(
    strict: World, path: str, bearer: str
) -> None:
    answers = await ask(strict, path, FAILURES + 3, Authorization=bearer, Origin=ORIGIN)
    assert [answer.status for answer in answers] == [401] * FAILURES + [429] * 3
    assert is_error(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= gatekeeper.FAILURES.seconds
    assert answers[-1].headers["Access-Control-Allow-Origin"] == ORIGIN
    assert statuses(await ask(strict, path, 1, Authorization=bearer, **ELSEWHERE)) == {401: 1}


async def test_who_goes_on_asking_after_refusals_waits_for_each_and_others_are_answered(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "HOLD_SECONDS", 3600)
    calls = round(analytics.popular.limit.calls * FACTOR)
    asking = [asyncio.create_task(ask(strict, "/api/analytics/popular", 1)) for _ in range(calls + PROMPT.calls + 4)]
    await eventually(lambda: sum(task.done() for task in asking) >= calls + PROMPT.calls)
    assert statuses(await ask(strict, "/api/analytics/popular", 1, **ELSEWHERE)) == {401: 1}
    assert statuses(await ask(strict, "/api/auth/me", 1)) == {200: 1}, "what is not refused is prompt"
    told = [answer for task in asking if task.done() for answer in task.result()]
    assert statuses(told) == {401: calls, 429: PROMPT.calls}, "those beyond the prompt ones wait"
    for task in asking:
        task.cancel()


async def test_forged_signatures_count_as_other_failures_do(strict: World) -> None:
    good = strict.bearer("alice")["Authorization"]
    forged = good[:-8] + ("AAAAAAAA" if not good.endswith("AAAAAAAA") else "BBBBBBBB")
    answers = await ask(strict, "/api/auth/me", FAILURES, Authorization=forged)
    answers += await ask(strict, "/api/auth/me", 1, Authorization="Bearer junk")
    assert statuses(answers) == {401: FAILURES, 429: 1}


async def test_who_has_a_good_token_is_let_in_beside_a_stranger_of_the_same_address(strict: World) -> None:
    await ask(strict, "/api/auth/me", FAILURES + 1, Authorization="Bearer junk")
    assert statuses(await ask(strict, "/api/auth/me", 1, **strict.bearer("alice"))) == {200: 1}
    assert statuses(await ask(strict, "/api/auth/me", 1)) == {200: 1}


async def test_who_guessed_too_often_is_not_told_which_guess_is_the_operators_token(strict: World) -> None:
    await ask(strict, "/api/admin/status", FAILURES, Authorization="Bearer guess")
    right = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}
    assert statuses(await ask(strict, "/api/admin/status", 1, **right)) == {429: 1}
    assert statuses(await ask(strict, "/api/admin/status", 1, **right, **ELSEWHERE)) == {200: 1}


async def test_calls_that_are_refused_for_want_of_a_login_count_as_calls(strict: World) -> None:
    calls = round(analytics.popular.limit.calls * FACTOR)
    answers = await ask(strict, "/api/analytics/popular", calls + 2)
    assert [answer.status for answer in answers] == [401] * calls + [429] * 2


@pytest.mark.parametrize("path", ["/api/health", "/health", "/nothing"])
async def test_every_path_without_an_operation_is_limited_by_address(strict: World, path: str) -> None:
    answers = await ask(strict, path, PAGES + 2, Origin=ORIGIN)
    assert [answer.status for answer in answers] == [404 if path == "/nothing" else 200] * PAGES + [429] * 2
    assert is_error(answers[-1], 429, "rate_limited")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= server.PAGES.seconds
    assert answers[-1].headers["Access-Control-Allow-Origin"] == ORIGIN
    assert statuses(await ask(strict, path, 1, **ELSEWHERE)) != {429: 1}
    assert (await strict.ask("GET", "/api/spaces")).status == 200, "operations have limits of their own"


async def test_health_and_refused_methods_share_one_budget(strict: World) -> None:
    await ask(strict, "/health", PAGES)
    assert (await strict.ask("DELETE", "/api/spaces")).status == 429


async def test_a_budget_of_this_process_comes_back_with_its_window_and_forgets_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("libs.common.edge.limits.time.monotonic", lambda: now)
    limit = LimitHere(Limit(2, 60), 1.0)
    assert [limit.spend("192.0.2.1").exceeded for _ in range(3)] == [False, False, True]
    assert not limit.spend("192.0.2.2").exceeded
    now = 160.0
    assert not limit.spend("192.0.2.1").exceeded
    assert len(limit._counts) == 1


async def test_health_is_asked_of_the_parts_once_however_many_ask(world: World) -> None:
    asked = 0

    async def heads(_: Caller, __: log.Heads) -> HeadNumbers:
        nonlocal asked
        asked += 1
        return HeadNumbers({"global:lobby": 0})

    world.bus.serve(log.heads, heads)
    answers = await asyncio.gather(*(world.ask("GET", path) for path in ("/api/health", "/health") * 50))
    assert statuses(answers) == {200: 100}
    assert asked <= 2, "one look a second"
