"""The routes: what is on IPFS, from the cache, with ranges and conditions as RFC 9110 has them."""

import os
from pathlib import Path

from aiohttp import web

from libs.common.errors import INVALID_INPUT, PresenceError
from libs.common.outbound import ipfs
from services.gateway.media.fetches import Fetches
from services.gateway.media.store import etag_of
from services.gateway.media.types import headers
from services.gateway.server import ADDRESS, OPERATION

PATH = "/api/media"
_CHUNK = 256 * 1024


class MediaDoor:
    def __init__(self, fetches: Fetches) -> None:
        self._fetches = fetches

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get(f"{PATH}/{{cid}}", self._handle)
        router.add_get(f"{PATH}/{{cid}}/{{path:.+}}", self._handle)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        """Answers 200, 206, 304 or 416; errors are those of `Fetches.get`, and `invalid_input`."""
        request[OPERATION] = "media.get"
        file = await self._fetches.get(_named(request), request[ADDRESS])
        asked_for = request.headers.get("If-Range", "")
        if asked_for.startswith(('"', "W/")) and asked_for != etag_of(file):
            return await _whole(request, file)  # aiohttp compares times alone
        return web.FileResponse(file, chunk_size=_CHUNK, headers=headers(file.suffix))


def _named(request: web.Request) -> str:
    """Returns `cid[/path]`. Raises `invalid_input`."""
    cid, path = request.match_info["cid"], request.match_info.get("path", "")
    if not ipfs.is_cid(cid):
        raise PresenceError(INVALID_INPUT, "Not a CID.", {"fields": {"cid": ["Malformed."]}})
    if path and not ipfs.is_path(path):
        raise PresenceError(INVALID_INPUT, "Not a path below a CID.", {"fields": {"path": ["Malformed."]}})
    return f"{cid}/{path}" if path else cid


async def _whole(request: web.Request, file: Path) -> web.StreamResponse:
    """Answers with all of a file to who has a part of another one."""
    response = web.StreamResponse(headers={**headers(file.suffix), "ETag": etag_of(file), "Accept-Ranges": "bytes"})
    with file.open("rb") as opened:  # from the page cache, a piece at a time
        response.content_length = os.fstat(opened.fileno()).st_size
        await response.prepare(request)
        while request.method != "HEAD" and (chunk := opened.read(_CHUNK)):
            await response.write(chunk)
    await response.write_eof()
    return response
