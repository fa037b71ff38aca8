"""Every answer has its error body, CORS headers, request id and limits, and is for those who may ask."""

from typing import Any

import pytest

from libs.common.bus import codec
from libs.common.bus.base import Caller
from libs.common.bus.memory import MemoryBus
from libs.common.contracts import chat, events
from libs.common.contracts.events import EventCalendar, GetEvent
from libs.common.errors import CONFLICT, RETRY_SECONDS, SLOW_MODE, SPACE_FULL, UNAVAILABLE, PresenceError
from libs.common.identity import Identity
from libs.common.spaces import SpaceKey
from libs.common.tokens import Admission
from tests.integration.gateway.world import OPERATOR_TOKEN, ORIGIN, Answer, World, is_error

WEBHOOK = "01a21fa3-36ad-75a4-ad99-a6784fd9962f"
JOIN = "/api/spaces/post/bob/my-post/join"
OPERATOR = {"Authorization": f"Bearer {OPERATOR_TOKEN}"}


@pytest.mark.parametrize("path", ["/nothing", "/api", "/api/nothing", "/api/spaces/", "/", "/../etc/passwd"])
async def test_a_path_that_is_none_is_the_contracts_not_found(world: World, path: str) -> None:
    assert is_error(await world.ask("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/spaces", "GET"),
        ("GET", "/api/auth/login", "POST"),
        ("GET", "/api/spaces/post/bob/my-post/join", "POST"),
        ("DELETE", "/api/spaces/post/bob%2Fmy-post/leave", "POST"),
        ("GET", "/api/spaces/global/lobby/kick", "POST"),
        ("GET", "/api/spaces/post/bob/my-post/mute", "DELETE,POST"),
        ("GET", "/api/spaces/document/123/settings", "PATCH"),
        ("PUT", "/api/spaces/post/bob/my-post", "GET"),
        ("GET", "/api/webhooks/subscribe", "POST"),
        ("DELETE", "/api/webhooks/subscribe", "POST"),
        ("POST", "/api/webhooks/0192d7a2-0000-7000-8000-000000000000", "DELETE,GET,PATCH"),
    ],
)
async def test_another_method_is_the_contracts_405_and_says_which(
    world: World, method: str, path: str, allowed: str
) -> None:
    answer = await world.ask(method, path)
    assert is_error(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == allowed


async def test_a_services_error_comes_through_whole(world: World) -> None:
    answer = await world.ask("GET", "/api/spaces/post/bob/my-post")
    assert is_error(answer, 409, "conflict")
    assert (answer.body["error"], answer.body["details"]) == ("seen", {"space_id": "bob/my-post"})


async def test_a_services_bug_is_internal_and_tells_nothing(world: World) -> None:
    answer = await world.ask("GET", "/api/spaces/post/bob/broken")
    assert is_error(answer, 500, "internal")
    assert "secret" not in str(answer.body)


async def test_a_client_reads_the_very_bytes_that_the_service_wrote(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = b'{"spaces": [],  "total":0, "next_cursor":null, "of_a_later_version":"\\u00e9"}'
    monkeypatch.setattr(codec, "encode", lambda _: written)
    async with world.http.get(f"{world.url}/api/spaces") as response:
        assert (await response.read(), response.headers["Content-Type"]) == (written, "application/json")


async def test_a_service_that_is_away_is_unavailable(world: World) -> None:
    await world.bus.stop()
    world.broker.running = False
    answer = await world.ask("GET", "/api/spaces")
    assert is_error(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("path", ["/api/spaces", "/no", "/health", "/api/auth/login"])
async def test_no_answers_type_is_to_be_guessed(world: World, path: str) -> None:
    assert (await world.ask("GET", path)).headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/spaces", "/no", "/health", "/api/auth/login"])
async def test_nobody_on_the_way_keeps_an_answer_that_does_not_say_so_itself(world: World, path: str) -> None:
    assert (await world.ask("GET", path)).headers["Cache-Control"] == "no-store"


async def test_every_answer_has_a_request_id_of_its_own(world: World) -> None:
    seen = {(await world.ask("GET", path)).headers["X-Request-Id"] for path in ("/api/spaces", "/", "/no", "/health")}
    assert len(seen) == 4


@pytest.mark.parametrize("path", ["/api/spaces", "/nothing", "/api/auth/login", "/health"])
async def test_our_origins_may_read_every_answer_also_the_errors(world: World, path: str) -> None:
    for origin in (ORIGIN, "http://localhost:8080", "https://alice.ipfs.dlux.io"):
        headers = (await world.ask("GET", path, headers={"Origin": origin})).headers
        assert headers["Access-Control-Allow-Origin"] == origin
        assert headers["Access-Control-Allow-Credentials"] == "true"
        assert headers["Vary"] == "Origin"
        for name in ("Content-Range", "ETag", "RateLimit-Remaining", "Retry-After", "X-Request-Id"):
            assert name in headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "https://dlux.io.evil.example",
        "http://dlux.io",
        "https://a.b.ipfs.dlux.io",
        None,
    ],
)
async def test_no_other_origin_may(world: World, origin: str | None) -> None:
    headers = (await world.ask("GET", "/api/spaces", headers={"Origin": origin} if origin else {})).headers
    assert not [name for name in headers if name.startswith("Access-Control")]
    assert headers["Vary"] == "Origin", "a cache must not give it to another"


async def preflight(world: World, path: str, origin: str = ORIGIN) -> Answer:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    return await world.ask("OPTIONS", path, headers=asked)


@pytest.mark.parametrize("path", [JOIN, "/api/spaces", "/api/spaces/post/bob%2Fx", "/api/webhooks/1", "/nothing"])
async def test_every_route_answers_a_preflight(world: World, path: str) -> None:
    answer = await preflight(world, path)
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert method in answer.headers["Access-Control-Allow-Methods"]
    for name in ("Authorization", "Content-Type", "Idempotency-Key"):
        assert name in answer.headers["Access-Control-Allow-Headers"]
    assert world.asked == []


async def test_a_preflight_of_another_origin_allows_nothing(world: World) -> None:
    answer = await preflight(world, JOIN, "https://evil.example")
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_limits_are_told_and_beyond_them_is_429_with_when_to_come_back(redis_url: str, run: Any) -> None:
    async with run(redis_url, rate_limit_factor=0.025) as world:  # three in a minute
        answers = [await world.ask("GET", "/api/spaces") for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"3"}
        assert is_error(answers[3], 429, "rate_limited")
        wait = int(answers[3].headers["Retry-After"])
        assert 1 <= wait <= 60
        assert answers[3].body["details"] == {"retry_after": wait}
        assert (await world.ask("GET", "/api/spaces", headers=world.bearer("alice"))).status == 200
        assert (await world.ask("GET", "/api/auth/me")).status == 200
        assert (await world.ask("GET", "/health")).status == 200


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (PresenceError(SLOW_MODE, details={"retry_after": 30}), "30"),
        (PresenceError(SPACE_FULL), str(RETRY_SECONDS)),
        (PresenceError(UNAVAILABLE), str(RETRY_SECONDS)),
        (PresenceError(CONFLICT), None),
    ],
    ids=lambda given: given.kind.code if isinstance(given, PresenceError) else "",
)
async def test_an_error_worth_a_retry_says_when(world: World, error: PresenceError, wait: str | None) -> None:
    async def refuse(_: Caller, __: chat.ListMessages) -> chat.MessagePage:
        raise error

    world.bus.serve(chat.list_messages, refuse)
    answer = await world.ask("GET", "/api/chat/global/lobby/messages")
    assert is_error(answer, error.kind.status, error.kind.code)
    assert answer.headers.get("Retry-After") == wait


async def test_an_error_tells_of_the_limits_as_well(world: World) -> None:
    for path in ("/api/spaces?limit=x", "/api/spaces/post/bob/my-post"):
        assert int((await world.ask("GET", path)).headers["RateLimit-Remaining"]) > 0


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer :alice", "bearer :", "  Bearer   :alice  "])
async def test_no_token_is_a_guest_and_never_alice(world: World, header: str | None) -> None:
    answer = await world.ask("GET", "/api/auth/me", headers={} if header is None else {"Authorization": header})
    assert answer.status == 200
    assert (answer.body["kind"], answer.body["account"]) == ("guest", None)
    assert "alice" not in answer.body["display_name"]


@pytest.mark.parametrize(
    "header", ["Bearer junk", "Bearer a.b.c", "junk", "Basic YWxpY2U6eA==", "Token x", "Bearer x y"]
)
async def test_a_token_that_cannot_be_verified_is_401_with_a_hint(world: World, header: str) -> None:
    answer = await world.ask("GET", "/api/auth/me", headers={"Authorization": header})
    assert is_error(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "/api/auth/login" in answer.body["error"]


async def test_an_expired_token_is_session_expired(world: World) -> None:
    token, _ = world.signer.sign(Identity("account", "alice", "alice"), -1)
    answer = await world.ask("GET", "/api/auth/me", headers={"Authorization": f"bearer {token}"})
    assert is_error(answer, 401, "session_expired")


async def test_a_good_token_is_its_account_whatever_the_case_of_bearer(world: World) -> None:
    header = world.bearer("alice")["Authorization"].replace("Bearer", "BEARER")
    assert (await world.ask("GET", "/api/auth/me", headers={"Authorization": header})).body["account"] == "alice"


async def test_admin_routes_are_for_operators(world: World) -> None:
    path = "/api/admin/status"
    answer = await world.ask("GET", path)
    assert is_error(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert is_error(await world.ask("GET", path, headers=world.bearer("alice")), 403, "forbidden")
    assert world.asked == []
    assert (await world.ask("GET", path, headers=world.bearer("olivia"))).status == 200
    assert (await world.ask("GET", path, headers=OPERATOR)).status == 200
    assert world.caller.identity.operator


async def test_operations_that_need_an_account_refuse_guests(world: World) -> None:
    assert is_error(await world.ask("GET", "/api/webhooks"), 401, "unauthorized")
    token, _ = world.signer.sign(Identity("guest", "0192", "Al (guest)"), 60)
    answer = await world.ask("GET", "/api/webhooks", headers={"Authorization": f"Bearer {token}"})
    assert is_error(answer, 401, "unauthorized")


async def test_an_admission_opens_its_own_space_only(world: World) -> None:
    admission = Admission(SpaceKey("post", "bob/my-post"), "main", "visitor", 0)
    token, _ = world.signer.sign(Identity("account", "alice", "alice"), 60, admission)
    headers = {"Authorization": f"Bearer {token}"}
    assert is_error(await world.ask("GET", "/api/spaces/post/bob/my-post", headers=headers), 409, "conflict")
    for path in ("/api/spaces/post/bob/other", "/api/spaces/document/123"):
        assert is_error(await world.ask("GET", path, headers=headers), 403, "forbidden")
    body = {"content": "x", "space_type": "post", "space_id": "bob/my-post"}
    assert is_error(
        await world.ask("POST", "/api/chat/post/bob/other/messages", body, headers=headers), 403, "forbidden"
    )


async def test_an_admission_hears_of_no_space_what_a_guest_does_not(world: World) -> None:
    admission = Admission(SpaceKey("post", "bob/my-post"), "main", "visitor", 0)
    token, _ = world.signer.sign(Identity("account", "alice", "alice"), 60, admission)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await world.ask("GET", "/api/spaces", headers=headers)).status == 200
    assert world.caller.identity.nobody, "or the scene that was handed it would read alice's private documents"
    await world.ask("GET", "/api/spaces/post/bob/my-post", headers=headers)
    assert world.caller.identity.account == "alice"
    assert (await world.ask("GET", "/api/auth/me", headers=headers)).body["account"] == "alice"


OF_THE_ACCOUNT = [
    ("GET", "/api/notifications"), ("POST", "/api/notifications/read"), ("GET", "/api/webhooks"),
    ("GET", f"/api/webhooks/{WEBHOOK}"), ("DELETE", f"/api/webhooks/{WEBHOOK}"),
    ("GET", f"/api/webhooks/{WEBHOOK}/deliveries"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OF_THE_ACCOUNT)
async def test_an_admission_does_not_open_what_is_the_accounts_in_other_spaces(
    world: World, method: str, path: str
) -> None:
    admission = Admission(SpaceKey("post", "bob/my-post"), "main", "visitor", 1)
    token, _ = world.signer.sign(Identity("account", "alice", "alice"), 60, admission)
    assert is_error(await world.ask(method, path, headers={"Authorization": f"Bearer {token}"}), 403, "forbidden")
    me = await world.ask("GET", "/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.body["account"] == "alice"


async def test_internal_operations_have_no_route(world: World) -> None:
    for path in ("/api/log/heads", "/log.heads", "/api/spaces/record_presence", "/livez", "/readyz", "/metrics"):
        for method in ("GET", "POST"):
            assert (await world.ask(method, path, headers=OPERATOR)).status in (404, 405)


async def test_an_events_calendar_is_sent_as_one(world: World) -> None:
    asked: list[str] = []

    async def answer(_: Caller, request: GetEvent) -> EventCalendar:
        asked.append(request.id)
        return EventCalendar("BEGIN:VCALENDAR\r\nSUMMARY:Ü\r\n")

    service = MemoryBus(world.broker)
    service.serve(events.get_calendar, answer)
    await service.start()
    found = await world.ask("GET", "/api/events/party-1.ics", headers={"Origin": ORIGIN})
    await service.stop()
    assert (asked, found.status, found.body) == (["party-1"], 200, "BEGIN:VCALENDAR\r\nSUMMARY:Ü\r\n".encode())
    assert found.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert found.headers["Access-Control-Allow-Origin"] == ORIGIN
