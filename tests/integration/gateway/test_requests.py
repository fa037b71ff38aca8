"""From an HTTP request to an operation: path, query, body, headers."""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any
from zlib import compress

import pytest
import structlog
from yarl import URL

from libs.common.contracts.schema import MOST_PROBLEMS
from libs.common.identity import Identity
from libs.common.ids import is_id
from libs.common.metrics import HTTP_REQUESTS
from services.gateway.server import CLIENT_GONE
from tests.integration.gateway.world import ORIGIN, World, is_error
from tests.support.waiting import eventually

MESSAGES = "/api/chat/post/bob/my-post/messages"


@pytest.mark.parametrize(
    ("path", "space_id"),
    [
        ("bob/my-post", "bob/my-post"), ("bob%2Fmy-post", "bob/my-post"), ("bob%2fmy-post", "bob/my-post"),
        ("bob/join", "bob/join"), ("bob/messages", "bob/messages"),
    ],
)  # fmt: skip
async def test_a_space_id_may_hold_a_slash_raw_or_encoded(world: World, path: str, space_id: str) -> None:
    for method, route in (
        ("GET", f"/api/spaces/post/{path}"),
        ("POST", f"/api/spaces/post/{path}/join"),
        ("GET", f"/api/chat/post/{path}/messages"),
    ):
        await world.ask(method, route)
        assert (world.request.space_type, world.request.space_id) == ("post", space_id), route


async def test_other_ids_have_no_slash(world: World) -> None:
    await world.ask("POST", "/api/spaces/global/lobby/join")
    assert (world.request.space_type, world.request.space_id, world.request.subspace) == ("global", "lobby", "main")


async def test_an_escaped_escape_stays_one(world: World) -> None:
    """And no space has such an id; taken for a slash, it would be asked for."""
    assert is_error(await world.ask("GET", "/api/spaces/post/bob%252Fmy-post"), 400, "invalid_input")
    assert world.asked == []


async def test_a_query_is_read_as_the_fields_expect(world: World) -> None:
    await world.ask("GET", "/api/spaces?limit=7&offset=3&q=caf%C3%A9+bar&sort=votes&unknown=1")
    found = world.request
    assert (found.limit, found.offset, found.q, found.sort) == (7, 3, "café bar", "votes")


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=many", {"limit"}), ("limit=2.5", {"limit"}), ("limit=0", {"limit"}), ("limit=201", {"limit"}),
        ("limit=true", {"limit"}), ("limit=", {"limit"}), ("offset=-1&limit=x", {"offset", "limit"}),
        (f"offset={'9' * 500}", {"offset"}), ("q=%00", {"q"}), ("sort=best", {"sort"}), ("type=a%00", {"type"}),
    ],
)  # fmt: skip
async def test_wrong_fields_of_a_query_are_named(world: World, query: str, fields: set[str]) -> None:
    answer = await world.ask("GET", f"/api/spaces?{query}")
    assert is_error(answer, 400, "invalid_input")
    assert set(answer.body["details"]["fields"]) == fields


async def test_the_path_beats_the_body_and_the_body_the_query(world: World) -> None:
    body = {"content": "body", "space_type": "global", "space_id": "lobby"}
    await world.ask("POST", f"{MESSAGES}?content=query&subspace=attic", body)
    found = world.request
    assert (found.space_type, found.space_id, found.content, found.subspace) == ("post", "bob/my-post", "body", "attic")


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense", ""]
)
async def test_json_is_read_whatever_the_content_type_says(world: World, kind: str) -> None:
    await world.ask("POST", MESSAGES, {"content": "hello 👋"}, headers={"Content-Type": kind})
    assert world.request.content == "hello 👋"


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"nonsense", b"\xff\xfe", b'{"content": "\xff"}', b'{"content": "\\ud800"}', b'{"content": NaN}',
        b'{"content": 1e999}', b"[" * 5000, b"[]", b'"text"', b"5", b"null", b'{"content": "x"} {}',
        b'{"content": "x", "deep": ' + b"[" * 1400 + b"]" * 1400 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
async def test_a_body_that_is_no_json_object_is_invalid_input(world: World, body: bytes) -> None:
    assert is_error(await world.ask("POST", MESSAGES, body), 400, "invalid_input")
    assert world.asked == []


async def test_free_json_of_many_levels_is_invalid_input_and_no_bug(world: World) -> None:
    deep = b'{"settings": {"a": ' + b"[" * 1400 + b"]" * 1400 + b"}}"
    answer = await world.ask("PATCH", "/api/spaces/post/bob/my-post/settings", deep, headers=world.bearer("bob"))
    assert is_error(answer, 400, "invalid_input")
    assert "100 levels" in answer.body["error"]


@pytest.mark.parametrize("body", [None, b"", b"  \n"])
async def test_no_body_is_an_empty_object(world: World, body: bytes | None) -> None:
    assert (await world.ask("POST", "/api/spaces/global/lobby/join", body)).body["error"] == "joined"
    answer = await world.ask("POST", MESSAGES, body)
    assert set(answer.body["details"]["fields"]) == {"content"}


async def test_a_body_beyond_the_limit_is_too_large_and_the_server_goes_on(world: World) -> None:
    fits = {"content": "x", "padding": "x" * (64 * 1024 - 100)}
    assert (await world.ask("POST", MESSAGES, fits)).body["error"] == "x"
    assert is_error(await world.ask("POST", MESSAGES, {"content": "x" * 64 * 1024}), 413, "too_large")

    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 1024

    answer = await world.http.post(world.url + MESSAGES, data=endless())
    assert (answer.status, (await answer.json())["code"]) == (413, "too_large")
    assert (await world.ask("GET", "/health")).status == 200


async def test_a_small_body_that_unpacks_beyond_the_limit_is_too_large(world: World) -> None:
    packed = gzip.compress(json.dumps({"content": "x" * 10_000_000}).encode())
    assert len(packed) < 64 * 1024
    answer = await world.ask("POST", MESSAGES, packed, headers={"Content-Encoding": "gzip"})
    assert is_error(answer, 413, "too_large")


async def test_a_body_that_is_not_packed_as_it_says_is_invalid_input(world: World) -> None:
    answer = await world.ask("POST", MESSAGES, b"not gzip at all", headers={"Content-Encoding": "gzip"})
    assert answer.status == 400
    assert (await world.ask("GET", "/health")).status == 200


@pytest.mark.parametrize("encoding", ["br", "zstd", "nonsense", "gzip, gzip"])
async def test_a_way_of_packing_that_we_do_not_know_is_invalid_input(world: World, encoding: str) -> None:
    answer = await world.ask("POST", MESSAGES, b"{}", headers={"Content-Encoding": encoding, "Origin": ORIGIN})
    assert is_error(answer, 400, "invalid_input")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("GZip", gzip.compress), ("deflate", compress)]
)
async def test_a_packed_body_is_unpacked(world: World, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    fits = json.dumps({"content": "x", "padding": "x" * (64 * 1024 - 31)}).encode()
    assert len(fits) == 64 * 1024
    for text in (b'{"content": "x"}', fits):
        await world.ask("POST", MESSAGES, pack(text), headers={"Content-Encoding": encoding})
        assert world.request.content == "x"
    answer = await world.ask("POST", MESSAGES, pack(fits + b" "), headers={"Content-Encoding": encoding})
    assert is_error(answer, 413, "too_large")
    cut = await world.ask("POST", MESSAGES, pack(fits)[:-9], headers={"Content-Encoding": encoding})
    assert is_error(cut, 400, "invalid_input")


async def test_an_upload_that_is_broken_off_is_no_error_of_ours(world: World) -> None:
    """It is counted as a client that left, and nothing of it is logged as a failure."""
    url = URL(world.url)
    gone = HTTP_REQUESTS.labels("chat.post_message", CLIENT_GONE)

    def count() -> float:
        samples = (sample for metric in gone.collect() for sample in metric.samples)
        return sum(sample.value for sample in samples if sample.name.endswith("_count"))

    before = count()
    with structlog.testing.capture_logs() as logs:
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
        await writer.drain()

        async def is_read() -> bool:
            return bool(await world.redis.redis.keys("LIMITS*post_message*"))

        await eventually(is_read)
        writer.transport.abort()

        async def is_counted() -> bool:
            return count() == before + 1

        await eventually(is_counted)
    assert not [entry for entry in logs if entry["log_level"] in ("error", "critical")]


async def test_an_answer_about_bad_fields_does_not_outgrow_the_question(world: World) -> None:
    many = {"account": "alice", "challenge": "x", "signature": "x", "signatures": [0] * 20_000}
    raw = json.dumps(many)
    answer = await world.ask("POST", "/api/auth/login", raw.encode())
    assert is_error(answer, 400, "invalid_input")
    assert len(json.dumps(answer.body)) < 20_000
    assert len(answer.body["details"]["fields"]["signatures"]) <= MOST_PROBLEMS


async def test_every_bad_field_is_named(world: World) -> None:
    answer = await world.ask("POST", MESSAGES, {"content": 5, "subspace": "a/b", "parent_message_id": True, "new": 1})
    assert is_error(answer, 400, "invalid_input")
    assert set(answer.body["details"]["fields"]) == {"content", "subspace", "parent_message_id"}


async def test_an_idempotency_key_is_the_commands_own_id(world: World) -> None:
    for _ in range(2):
        await world.ask("POST", MESSAGES, {"content": "x"}, headers={"Idempotency-Key": "key-1"})
        assert world.request.client_message_id == "key-1"


async def test_the_bodys_own_id_beats_the_header(world: World) -> None:
    body = {"content": "x", "client_message_id": "mine"}
    await world.ask("POST", MESSAGES, body, headers={"Idempotency-Key": "key-1"})
    assert world.request.client_message_id == "mine"


async def test_without_either_an_id_is_made(world: World) -> None:
    seen = set()
    for body in ({"content": "x"}, {"content": "x", "client_message_id": None}):
        await world.ask("POST", MESSAGES, body)
        assert is_id(world.request.client_message_id)
        seen.add(world.request.client_message_id)
    assert len(seen) == 2


async def test_a_guest_without_a_token_who_sends_a_command_again_is_the_same_guest(world: World) -> None:
    async def author(key: str, **headers: str) -> str:
        await world.ask("POST", MESSAGES, {"content": "x"}, headers={"Idempotency-Key": key, **headers})
        assert world.caller.identity.guest
        return world.caller.identity.id

    first = await author("key-1")
    assert is_id(first)
    assert first == await author("key-1")
    await world.ask("POST", MESSAGES, {"content": "x", "client_message_id": "key-1"})
    assert world.caller.identity.id == first, "in the body as in the header"
    others = [await author("key-2"), await author("key-1", **{"X-Forwarded-For": "203.0.113.9"})]
    assert len({first, *others}) == 3, "another command, or the same key from elsewhere, is another guest's"
    for _ in range(2):
        await world.ask("POST", MESSAGES, {"content": "x"})
        others.append(world.caller.identity.id)
    assert len({first, *others}) == 5, "without a key each is a new guest"


async def test_two_gateways_know_the_same_guest_by_the_same_key(world: World, redis_url: str, run: Any) -> None:
    seen = set()
    async with run(redis_url) as other:
        for gateway in (world, other):
            await gateway.ask("POST", MESSAGES, {"content": "x", "client_message_id": "key-1"})
            seen.add(gateway.caller.identity.id)
    assert len(seen) == 1


async def test_a_guest_with_a_token_keeps_their_identity(world: World) -> None:
    headers = {"Idempotency-Key": "key-1", **world.bearer("alice")}
    await world.ask("POST", MESSAGES, {"content": "x"}, headers=headers)
    assert world.caller.identity.key == "account:alice"


@pytest.mark.parametrize("key", ["x" * 129, "\xff"])
async def test_a_key_that_is_no_key_is_invalid_input_or_taken(world: World, key: str) -> None:
    answer = await raw(world, f"POST {MESSAGES} HTTP/1.1\r\nIdempotency-Key: {key}\r\n", b'{"content": "x"}')
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert b'"invalid_input"' in answer


async def raw(world: World, head: str, body: bytes = b"") -> bytes:
    """The whole answer to a request as bytes, whatever a client library thinks of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.settings.http_port)
    length = f"Host: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + length).encode("latin-1") + body)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("header", ["Authorization: Bearer \xff", "Authorization: \xff", "X-Forwarded-For: \xff, \xfe"])
async def test_bytes_that_are_no_text_in_a_header_are_no_failure_of_ours(world: World, header: str) -> None:
    answer = await raw(world, f"GET /api/auth/me HTTP/1.1\r\n{header}\r\n")
    assert answer.partition(b"\r\n")[0].split()[1] in (b"200", b"401")
    assert b'"internal"' not in answer


async def test_the_caller_is_known_to_the_service_with_its_address_and_request_id(world: World) -> None:
    answer = await world.ask("GET", "/api/auth/me", headers={"X-Forwarded-For": "198.51.100.7"} | world.bearer("alice"))
    assert answer.status == 200
    assert (world.caller.identity.account, world.caller.address) == ("alice", "198.51.100.7")
    assert world.caller.request_id == answer.headers["X-Request-Id"]


async def test_from_a_peer_that_is_not_our_proxy_the_header_is_not_believed(redis_url: str, run: Any) -> None:
    async with run(redis_url, trusted_proxies=("10.0.0.0/8",)) as world:
        await world.ask("GET", "/api/auth/me", headers={"X-Forwarded-For": "198.51.100.7"})
        assert world.caller.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/challenge"), ("POST", "/api/auth/login"), ("POST", "/api/auth/guest"),
        ("POST", "/api/auth/refresh"), ("GET", "/.well-known/jwks.json"),
    ],
)  # fmt: skip
async def test_a_token_that_ran_out_keeps_nobody_from_getting_a_new_one(world: World, method: str, path: str) -> None:
    """Front ends send it with every request, also with the one that is to replace it."""
    expired, _ = world.signer.sign(Identity("account", "alice", "alice"), -60)
    for bearer in (expired, "junk"):
        answer = await world.ask(method, path, headers={"Authorization": f"Bearer {bearer}"})
        assert answer.status not in (401, 403), answer.body
        assert (await world.ask("GET", "/api/auth/me", headers={"Authorization": f"Bearer {bearer}"})).status == 401
