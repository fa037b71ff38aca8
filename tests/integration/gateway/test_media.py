"""The door to IPFS: what it serves, what it refuses, and what it asks the gateway for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.ipfs.files import SCENE, cid_of, panorama
from libs.common.contracts.registry import Limit
from services.gateway.media import fetches
from tests.integration.gateway.conftest import Run
from tests.integration.gateway.world import World, is_error

PICTURE = panorama(1)
CID = cid_of(PICTURE)
LOCAL = ("127.0.0.0/8",)
KIB = 1024

type Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Ipfs:
    """A gateway that answers as a test says, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.files: dict[str, tuple[bytes, str]] = {}
        self.respond: Respond | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.match_info["what"])
        if self.respond:
            return await self.respond(request)
        if request.match_info["what"] not in self.files:
            raise web.HTTPNotFound
        body, content_type = self.files[request.match_info["what"]]
        return web.Response(body=body, content_type=content_type)


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@pytest.fixture
async def ipfs() -> AsyncIterator[Ipfs]:
    node, app = Ipfs(), web.Application()
    app.router.add_get("/ipfs/{what:.+}", node.handle)
    async with TestServer(app) as server:
        node.url = str(server.make_url("/ipfs"))
        node.files[CID] = (PICTURE, "image/png")
        yield node


@asynccontextmanager
async def door(run: Run, redis_url: str, ipfs: Ipfs, folder: Path, **changes: Any) -> AsyncIterator[World]:
    settings = {"ipfs_gateway": ipfs.url, "ipfs_allowed_networks": LOCAL, "media_cache": str(folder), **changes}
    async with run(redis_url, **settings) as world:
        yield world


@pytest.fixture
async def world(run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path) -> AsyncIterator[World]:
    async with door(run, redis_url, ipfs, tmp_path / "media", media_largest_bytes=64 * KIB) as world:
        yield world


async def test_a_file_is_served_for_ever_and_fetched_once(world: World, ipfs: Ipfs) -> None:
    first = await world.ask("GET", f"/api/media/{CID}")
    second = await world.ask("GET", f"/api/media/{CID}")

    assert (first.status, first.body, first.headers["Content-Type"]) == (200, PICTURE, "image/png")
    assert first.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in first.headers["Content-Security-Policy"]
    assert "Content-Disposition" not in first.headers
    assert (second.body, second.headers["ETag"]) == (PICTURE, first.headers["ETag"])
    assert ipfs.asked == [CID]


async def test_who_has_a_file_is_told_so(world: World) -> None:
    first = await world.ask("GET", f"/api/media/{CID}")
    assert not first.headers["ETag"].startswith("W/")

    again = await world.ask("GET", f"/api/media/{CID}", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]


async def test_a_range_is_served_as_one(world: World) -> None:
    etag = (await world.ask("HEAD", f"/api/media/{CID}")).headers["ETag"]

    async def part(wanted: str, condition: str | None = None) -> tuple[int, bytes]:
        headers = {"Range": wanted, **({"If-Range": condition} if condition else {})}
        answer = await world.ask("GET", f"/api/media/{CID}", headers=headers)
        return answer.status, answer.body

    assert await part("bytes=2-5") == (206, PICTURE[2:6])
    assert await part("bytes=-4") == (206, PICTURE[-4:])
    assert await part("bytes=2-5", etag) == (206, PICTURE[2:6])
    assert await part("bytes=2-5", '"another"') == (200, PICTURE)
    assert await part("bytes=2-5", "W/" + etag) == (200, PICTURE)
    assert (await part(f"bytes={len(PICTURE)}-"))[0] == 416
    answer = await world.ask("GET", f"/api/media/{CID}", headers={"Range": "bytes=0-9"})
    assert answer.headers["Content-Range"] == f"bytes 0-9/{len(PICTURE)}"


async def test_a_head_has_the_headers_and_no_body(world: World) -> None:
    answer = await world.ask("HEAD", f"/api/media/{CID}")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(PICTURE)))


@pytest.mark.parametrize(
    "content_type", ["text/html", "application/xhtml+xml", "text/javascript", "application/pdf", "text/css", "text/xml"]
)
async def test_what_runs_in_a_browser_is_refused(world: World, ipfs: Ipfs, content_type: str) -> None:
    name = f"{cid_of(SCENE)}/{content_type.replace('/', '-')}"
    ipfs.files[name] = (SCENE, content_type)

    assert is_error(await world.ask("GET", f"/api/media/{name}"), 403, "forbidden")
    assert is_error(await world.ask("GET", f"/api/media/{name}"), 403, "forbidden")
    assert ipfs.asked == [name]


@pytest.mark.parametrize("content_type", ["image/svg+xml", "application/octet-stream", "text/plain"])
async def test_what_may_hold_a_script_comes_as_a_download_in_a_sandbox(
    world: World, ipfs: Ipfs, content_type: str
) -> None:
    ipfs.files[f"{CID}/odd"] = (b"<svg/>", content_type)

    answer = await world.ask("GET", f"/api/media/{CID}/odd")

    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["Content-Disposition"] == "attachment"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        *("nonsense", CID[:-30], "Qm" + "0" * 44, CID.upper(), f"{CID}/%2e%2e/secret", f"{CID}/a//b", f"{CID}/a%5cb"),
        *(f"{CID}/%00", f"{CID}/a%0ab", f"{CID}/" + "x" * 600, f"{CID}%2f..%2f..%2fapi"),
    ],
)
async def test_what_names_nothing_on_ipfs_is_not_asked_for(world: World, ipfs: Ipfs, path: str) -> None:
    answer = await world.ask("GET", f"/api/media/{path}")

    assert answer.status in (400, 404)
    assert ipfs.asked == []


async def test_a_file_that_is_not_there_is_asked_for_once_a_minute(world: World, ipfs: Ipfs) -> None:
    for _ in range(3):
        assert is_error(await world.ask("GET", f"/api/media/{CID}/none"), 404, "not_found")
    assert ipfs.asked == [f"{CID}/none"]


async def test_a_file_that_is_too_large_leaves_nothing_behind(world: World, ipfs: Ipfs) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png"})
        await response.prepare(request)
        while request.transport and not request.transport.is_closing():
            await response.write(b"x" * KIB)
        return response

    ipfs.files[f"{CID}/large"] = (b"x" * (65 * KIB), "image/png")
    assert is_error(await world.ask("GET", f"/api/media/{CID}/large"), 413, "too_large")
    ipfs.respond = endless
    assert is_error(await world.ask("GET", f"/api/media/{CID}/endless"), 413, "too_large")

    assert names(Path(world.settings.media_cache)) == []


async def test_a_redirect_leads_nowhere(world: World, ipfs: Ipfs) -> None:
    async def elsewhere(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{ipfs.url}/{CID}")

    ipfs.respond = elsewhere
    assert is_error(await world.ask("GET", f"/api/media/{CID}"), 503, "unavailable")
    assert ipfs.asked == [CID]


async def test_a_file_that_breaks_off_is_not_kept(world: World, ipfs: Ipfs) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/png", "Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b"x" * 100)
        if request.transport:
            request.transport.abort()
        return response

    ipfs.respond = broken
    assert is_error(await world.ask("GET", f"/api/media/{CID}"), 503, "unavailable")
    ipfs.respond = None
    assert (await world.ask("GET", f"/api/media/{CID}")).body == PICTURE


async def test_a_gateway_at_an_address_that_is_not_public_is_reached_only_where_the_settings_name_it(
    run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path
) -> None:
    async with door(run, redis_url, ipfs, tmp_path, ipfs_allowed_networks=()) as world:
        assert is_error(await world.ask("GET", f"/api/media/{CID}"), 503, "unavailable")
    assert ipfs.asked == []


async def test_many_who_ask_for_one_file_cause_one_fetch_and_one_address_waits_for_few(
    run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path
) -> None:
    come, go = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        come.set()
        await go.wait()
        return web.Response(body=PICTURE, content_type="image/png")

    ipfs.respond = slow
    async with door(run, redis_url, ipfs, tmp_path, media_fetches_each=4) as world:
        asking = {asyncio.create_task(world.ask("GET", f"/api/media/{CID}")) for _ in range(5)}
        await come.wait()
        (refused,), waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert is_error(await refused, 429, "rate_limited")
        go.set()
        assert [(await answer).status for answer in waiting] == [200] * 4
    assert ipfs.asked == [CID]


async def test_an_address_has_so_many_bytes_a_minute_fetched_and_what_is_here_costs_nothing(
    run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetches, "MEBIBYTES", Limit(2, 60, per_address=True))
    files = [bytes([number]) * (2 * KIB * KIB + 1) for number in range(2)]
    cids = [cid_of(file) for file in files]
    ipfs.files |= {cid: (file, "image/png") for cid, file in zip(cids, files, strict=True)}
    async with door(run, redis_url, ipfs, tmp_path / "media", rate_limit_factor=1.0) as world:
        assert (await world.ask("GET", f"/api/media/{cids[0]}")).status == 200, "it goes beyond, and comes whole"
        assert is_error(await world.ask("GET", f"/api/media/{cids[1]}"), 429, "rate_limited")
        assert (await world.ask("GET", f"/api/media/{cids[0]}")).status == 200
    assert ipfs.asked == [cids[0]]


async def test_the_cache_is_bounded_and_the_file_that_was_asked_for_longest_ago_goes_first(
    run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path
) -> None:
    for name in "abcd":
        ipfs.files[f"{CID}/{name}"] = (b"x" * 400, "image/png")
    limits = {"media_cache_bytes": 1000, "media_largest_bytes": 1000}
    async with door(run, redis_url, ipfs, tmp_path, **limits) as world:
        for name in "ababacac":
            await world.ask("GET", f"/api/media/{CID}/{name}")
        assert ipfs.asked == [f"{CID}/{name}" for name in "abc"]
        await world.ask("GET", f"/api/media/{CID}/b")
        assert ipfs.asked[3:] == [f"{CID}/b"]
    assert len(names(tmp_path)) == 2

    async with door(run, redis_url, ipfs, tmp_path, media_cache_files=1) as world:
        await world.ask("GET", f"/api/media/{CID}/b")
    assert len(names(tmp_path)) == 1
    assert len(ipfs.asked) == 4


async def test_what_a_killed_process_left_half_written_is_removed_and_the_rest_is_served(
    run: Run, redis_url: str, ipfs: Ipfs, tmp_path: Path
) -> None:
    async with door(run, redis_url, ipfs, tmp_path) as world:
        etag = (await world.ask("GET", f"/api/media/{CID}")).headers["ETag"]
    (tmp_path / "half.part").write_bytes(b"half")

    async with door(run, redis_url, ipfs, tmp_path) as world:
        answer = await world.ask("GET", f"/api/media/{CID}")
    assert (answer.body, answer.headers["ETag"], ipfs.asked) == (PICTURE, etag, [CID])
    assert not (tmp_path / "half.part").exists()


async def test_the_stand_in_of_the_local_stack_has_what_its_posts_name(
    run: Run, redis_url: str, hive_url: str, tmp_path: Path
) -> None:
    settings = {"ipfs_gateway": f"{hive_url}/ipfs", "ipfs_allowed_networks": LOCAL, "media_cache": str(tmp_path)}
    async with run(redis_url, **settings) as world:
        answer = await world.ask("GET", f"/api/media/{CID}")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, PICTURE, "image/png")
