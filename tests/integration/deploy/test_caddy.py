"""One Caddyfile, valid for a laptop and for a domain, that sends every request where it belongs."""

import asyncio
import gzip
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import zstandard
from aiohttp import web
from yarl import URL

from deploy.local.packages import CADDY, find
from deploy.local.servers.base import plain_environment
from deploy.local.servers.caddy import CADDYFILE, Caddy, caddy_environment
from libs.common.edge.origin import PROXY_HEADER
from libs.common.settings import read as read_environment
from services.gateway.static.__main__ import sources
from services.gateway.static.settings import StaticSettings
from services.gateway.static.site import Site, Versions
from tests.support.servers import PROXY_SECRET
from tests.support.waiting import eventually

UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdDecompressor().decompress(body),
    "gzip": gzip.decompress,
    "identity": bytes,
}

type Get = Callable[..., Coroutine[Any, Any, tuple[int, dict[str, Any]]]]


def caddy(command: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    words = [str(find(CADDY)), command, "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)


def home(folder: Path) -> dict[str, str]:
    return plain_environment(HOME=str(folder), XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))


def test_caddy_accepts_the_file_as_the_local_stack_uses_it(caddy_server: Caddy, tmp_path: Path) -> None:
    done = caddy("validate", caddy_environment(tmp_path, 8080, (1, 2, 3), "secret", tmp_path))
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


@pytest.mark.parametrize("path", ["/nothing", "/api/spaces", "/.well-known/jwks.json", "/socket.iox", "/health"])
async def test_everything_but_sockets_and_files_goes_to_the_gateway(get: Get, path: str) -> None:
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
        assert (await get(path, headers=of))[1].get("who") not in ("r1", "r2"), (path, of)


async def test_every_answer_says_once_that_its_type_is_no_guess(get: Get) -> None:
    for path in ("/api/spaces", "/socket.io/?EIO=4", "/nothing"):
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


@pytest.fixture
def site(caddy_server: Caddy) -> dict[str, bytes]:
    """What is served, by the path that a client asks for."""
    files = sources(read_environment(StaticSettings))
    Site(caddy_server.static).write(files)
    served = {f"/{path}": content for path, content in Versions(files).files.items()}
    return {**served, "/": served["/index.html"], "/docs": served["/docs.html"], "/webhooks": served["/webhooks.html"]}


COMPRESSED_FROM = 512
"""Bytes. Caddy sends what is smaller as it is: packing it would gain nothing."""
STATIC = ("/", "/docs", "/webhooks", "/openapi.json", "/asyncapi.json")


@asynccontextmanager
async def answer(caddy_server: Caddy, path: str, method: str = "GET", **headers: str) -> AsyncIterator[Any]:
    """The answer, still compressed."""
    async with (
        aiohttp.ClientSession(caddy_server.url, auto_decompress=False) as session,
        session.request(method, path, headers={"Accept-Encoding": "identity", **headers}) as got,
    ):
        yield got


async def test_pages_scripts_and_documents_are_served_without_any_process_of_ours(
    caddy_server: Caddy, site: dict[str, bytes]
) -> None:
    for path in site.keys() - {"/index.html", "/docs.html", "/webhooks.html"}:
        async with answer(caddy_server, path) as got:
            assert (got.status, await got.read()) == (200, site[path]), path
            assert got.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("encoding", ["zstd", "gzip", "identity"])
async def test_a_static_file_is_compressed_and_not_sent_again_to_who_has_it(
    caddy_server: Caddy, site: dict[str, bytes], encoding: str
) -> None:
    for path in (*STATIC, *(path for path in site if path.endswith(".js"))):
        expected = encoding if len(site[path]) >= COMPRESSED_FROM else "identity"
        async with answer(caddy_server, path, **{"Accept-Encoding": encoding}) as first:
            assert first.headers.get("Content-Encoding", "identity") == expected, path
            body, tag = await first.read(), first.headers["ETag"]
            assert UNPACK[expected](body) == site[path]
        async with answer(caddy_server, path, **{"Accept-Encoding": encoding, "If-None-Match": tag}) as again:
            assert (again.status, await again.read()) == (304, b"")
        async with answer(caddy_server, path, **{"If-None-Match": '"another"'}) as other:
            assert other.status == 200


async def test_what_has_its_version_in_its_name_is_kept_for_ever_and_a_page_is_asked_for_again(
    caddy_server: Caddy, site: dict[str, bytes]
) -> None:
    for path in site.keys() - {"/index.html", "/docs.html", "/webhooks.html"}:
        async with answer(caddy_server, path) as got:
            kept = "public, max-age=31536000, immutable" if path.startswith("/web/") else "no-cache"
            assert got.headers["Cache-Control"] == kept, path
    async with answer(caddy_server, "/web/page.0123456789ab.js") as missing:
        assert missing.status == 404
        assert (await missing.json())["code"] == "not_found"
        assert "max-age" not in missing.headers.get("Cache-Control", ""), "it may be there a moment later"


async def test_pages_may_not_be_framed_or_run_others_scripts(caddy_server: Caddy, site: dict[str, bytes]) -> None:
    for path in STATIC:
        async with answer(caddy_server, path) as got:
            assert "default-src 'self'" in got.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in got.headers["Content-Security-Policy"]


async def test_tools_on_any_page_may_read_the_documents(caddy_server: Caddy, site: dict[str, bytes]) -> None:
    async with answer(caddy_server, "/openapi.json", Origin="https://editor.example") as got:
        assert got.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in got.headers


@pytest.mark.parametrize("path", ["/web/../Caddyfile", "/web/%2e%2e/secrets", "/web/..%2f..%2fdata", "/openapi.json/"])
async def test_nothing_else_of_the_disk_is_served(caddy_server: Caddy, site: dict[str, bytes], path: str) -> None:
    (caddy_server.static.parent / "secrets").write_text("not to be seen")
    async with answer(caddy_server, URL(path, encoded=True)) as got:  # type: ignore[arg-type]
        assert got.status in (400, 404, 502)


async def test_answers_of_the_gateway_are_compressed_but_for_media(get: Get, caddy_server: Caddy) -> None:
    long = "?q=" + "a" * 2000  # the stand-in says it again
    for path, encoding in (("/api/spaces", "gzip"), ("/api/media/bafy", None)):
        async with answer(caddy_server, path + long, **{"Accept-Encoding": "gzip"}) as got:
            assert (got.status, got.headers.get("Content-Encoding")) == (200, encoding)
