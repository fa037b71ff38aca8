"""One Caddyfile, valid for a laptop and for a domain, that sends every request where it belongs."""

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
        told = {"for": request.headers.getall("X-Forwarded-For"), "proxy": request.headers.getall(PROXY_HEADER)}
        return web.json_response({"who": name, "size": size, **told})

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
                return answer.status, await answer.json() if is_json else {}

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


async def test_a_huge_body_does_not_reach_the_gateway(get: Get) -> None:
    assert (await get("/api/x", method="POST", data=b"x" * 500_000))[1]["size"] == 500_000
    status, _ = await get("/api/x", method="POST", data=b"x" * 1_500_000)
    assert status in (413, 502)


async def test_new_sockets_pass_over_a_dead_replica(caddy_server: Caddy) -> None:
    _, first, _ = caddy_server.upstreams
    async with serving("r1", first), aiohttp.ClientSession(caddy_server.url) as session:
        for _ in range(4):
            async with session.get("/socket.io/?EIO=4") as answer:
                assert (await answer.json())["who"] == "r1"
        async with session.get("/socket.io/?EIO=4&sid=r2-abc") as answer:
            assert answer.status == 502
