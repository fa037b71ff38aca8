"""One Caddyfile, valid for a laptop and for a domain, that sends every request where it belongs."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from deploy.local.packages import CADDY, find
from deploy.local.servers.base import plain_environment
from deploy.local.servers.caddy import CADDYFILE, Caddy, caddy_environment
from libs.common.edge.origin import PROXY_HEADER
from tests.support.servers import PROXY_SECRET
from tests.support.waiting import eventually

type Get = Callable[..., Coroutine[Any, Any, tuple[int, dict[str, Any]]]]


def caddy(command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    words = [str(find(CADDY)), command, "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def home(folder: Path) -> dict[str, str]:
    return plain_environment(HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))


def test_caddy_accepts_the_file_as_the_local_stack_uses_it(caddy_server: Caddy, tmp_path: Path) -> None:
    done = caddy("validate", caddy_environment(tmp_path, 8080, (1, 2, 3), "secret"))
    assert done.returncode == 0, done.stderr


def test_a_domain_gets_tls_and_the_redirect_by_itself(caddy_server: Caddy, tmp_path: Path) -> None:
    done = caddy("adapt", home(tmp_path) | {"PRESENCE_SITE": "presence.example.com"})
    servers = json.loads(done.stdout)["apps"]["http"]["servers"]
    assert servers["srv0"]["listen"] == [":443"]
    assert "automatic_https" not in servers["srv0"]


@asynccontextmanager
async def serving(name: str, port: int) -> AsyncIterator[None]:
    async def answer(request: web.Request) -> web.Response:
        size = len(await request.read())
        seen = {"who": name, "size": size, "path": request.path_qs}
        told = {"for": request.headers.getall("X-Forwarded-For"), "proxy": request.headers.getall(PROXY_HEADER)}
        headers = {"X-Content-Type-Options": "nosniff"} if name == "gateway" else {}
        return web.json_response({**seen, **told}, headers=headers)

    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


@pytest.fixture
async def get(caddy_server: Caddy) -> AsyncIterator[Get]:
    async with AsyncExitStack() as exits:
        for name, port in zip(("gateway", "r1", "r2"), caddy_server.upstreams, strict=True):
            await exits.enter_async_context(serving(name, port))
        session = await exits.enter_async_context(aiohttp.ClientSession(caddy_server.url))

        async def get(path: str, **options: Any) -> tuple[int, dict[str, Any]]:
            async with session.request(options.pop("method", "GET"), path, **options) as answer:
                is_json = answer.content_type == "application/json"
                sniff = answer.headers.getall("X-Content-Type-Options", [])
                return answer.status, {**await answer.json(), "sniff": sniff} if is_json else {}

        yield get


async def who(get: Get, path: str) -> str:
    _, body = await get(path)
    return str(body["who"])


@pytest.mark.parametrize("path", ["/", "/docs", "/api/spaces", "/.well-known/jwks.json", "/socket.iox", "/health"])
async def test_everything_but_sockets_goes_to_the_gateway(get: Get, path: str) -> None:
    assert await who(get, path) == "gateway"


async def test_a_sid_names_its_replica(get: Get) -> None:
    for _ in range(3):
        assert await who(get, "/socket.io/?EIO=4&transport=polling&sid=r1-abc") == "r1"
        assert await who(get, "/socket.io/?EIO=4&transport=polling&sid=r2-abc") == "r2"


async def test_new_sockets_are_spread_over_both_replicas(get: Get) -> None:
    paths = ("/socket.io/?EIO=4", "/socket.io", "/socket.io/?EIO=4&sid=unknown")
    assert {await who(get, paths[number % 3]) for number in range(6)} == {"r1", "r2"}


async def test_a_clients_own_forwarded_header_is_dropped(get: Get) -> None:
    _, body = await get("/api/spaces", headers={"X-Forwarded-For": "6.6.6.6"})
    assert body["for"] == ["127.0.0.1"]


@pytest.mark.parametrize("path", ["/api/spaces", "/socket.io/?EIO=4", "/socket.io/?sid=r1-a", "/socket.io/?sid=r2-a"])
async def test_caddy_shows_who_it_is_and_no_client_passes_for_it(get: Get, path: str) -> None:
    _, body = await get(path, headers={PROXY_HEADER: "mine"})
    assert body["proxy"] == [PROXY_SECRET]


async def test_the_socket_path_without_its_slash_is_the_same(get: Get) -> None:
    for path in ("/socket.io?EIO=4&transport=polling&sid=r2-abc", "/socket.io/?EIO=4&transport=polling&sid=r2-abc"):
        _, body = await get(path)
        assert (body["who"], body["path"]) == ("r2", "/socket.io/?EIO=4&transport=polling&sid=r2-abc")


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
async def test_a_websocket_to_the_root_is_the_plain_room_api(get: Get, upgrade: str) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": upgrade}
    seen = [(await get("/?token=x", headers=headers))[1] for _ in range(2)]
    assert {body["who"] for body in seen} == {"r1", "r2"}, "spread as all new sockets are"
    assert {body["path"] for body in seen} == {"/socket.io/?token=x"}
    assert (await get("/", headers=headers))[1]["path"] == "/socket.io/"
    for path, of in (("/docs", headers), ("/api/spaces", headers), ("/", {"Upgrade": "h2c"}), ("/?EIO=4", {})):
        assert (await get(path, headers=of))[1]["who"] == "gateway", (path, of)


async def test_every_answer_says_once_that_its_type_is_no_guess(get: Get) -> None:
    for path in ("/api/spaces", "/socket.io/?EIO=4", "/docs"):
        assert (await get(path))[1]["sniff"] == ["nosniff"]


def test_https_is_asked_for_from_then_on_where_there_is_tls(caddy_server: Caddy, tmp_path: Path) -> None:
    done = caddy("adapt", home(tmp_path) | {"PRESENCE_SITE": "presence.example.com"})
    assert "Strict-Transport-Security" in done.stdout
    assert '"protocol":"https"' in done.stdout, "and not where there is none"


async def test_what_caddy_logs_of_an_error_has_no_token(caddy_server: Caddy) -> None:
    """Neither of a request nor of an upgrade that no replica takes."""
    query = "EIO=4&transport=websocket&sid=r2-abc&token=SECRET-OF-QUERY"
    headers = {"Authorization": "Bearer SECRET-OF-HEADER", "Referer": "https://dlux.io/?token=SECRET-OF-PAGE"}
    before = caddy_server.child.log.stat().st_size
    async with aiohttp.ClientSession(caddy_server.url, headers=headers) as session:
        async with session.get(f"/socket.io/?{query}") as answer:
            assert answer.status == 502
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"/socket.io/?{query}")
        assert refused.value.status == 502

    async def both_are_logged() -> bool:
        return logged().count("/socket.io/?REDACTED") >= 2

    def logged() -> str:
        return caddy_server.child.log.read_bytes()[before:].decode()

    await eventually(both_are_logged)
    assert "SECRET" not in logged()


async def test_new_sockets_pass_over_a_dead_replica(caddy_server: Caddy) -> None:
    _, first, _ = caddy_server.upstreams
    async with serving("r1", first), aiohttp.ClientSession(caddy_server.url) as session:
        for _ in range(4):
            async with session.get("/socket.io/?EIO=4") as answer:
                assert (await answer.json())["who"] == "r1"
        async with session.get("/socket.io/?EIO=4&sid=r2-abc") as answer:
            assert answer.status == 502


PAGE = "https://alice.ipfs.dlux.io"


@pytest.mark.parametrize("path", ["/api/spaces", "/socket.io/?EIO=4", "/socket.io/?sid=r1-a", "/socket.io/?sid=r2-a"])
async def test_a_page_reads_the_errors_that_caddy_makes_itself(caddy_server: Caddy, path: str) -> None:
    """With nobody behind it."""
    async with aiohttp.ClientSession(caddy_server.url) as session:
        async with session.get(path, headers={"Origin": PAGE}) as answer:
            assert answer.status == 502
            assert (await answer.json())["code"] == "unavailable"
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
            assert answer.headers["Retry-After"] == "5"
            assert answer.headers["Vary"] == "Origin"
            assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
        async with session.get(path) as answer:
            assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_a_page_is_let_ask_for_what_then_fails_with_words(caddy_server: Caddy) -> None:
    """A preflight that fails leaves its page without any."""
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with aiohttp.ClientSession(caddy_server.url) as session:
        async with session.options("/api/spaces/global/lobby/join", headers=asked) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert answer.headers["Access-Control-Allow-Methods"] == "POST"
            assert answer.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
            assert answer.headers["Access-Control-Max-Age"] == "0", "it says nothing of later"
        async with session.options("/api/spaces/global/lobby/join", headers={"Origin": PAGE}) as answer:
            assert answer.status == 502, "that is none"


async def test_half_a_request_is_not_waited_for(caddy_server: Caddy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", caddy_server.port)
    writer.write(b"GET /api/spaces HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    await writer.drain()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert b" 200 " not in answer
