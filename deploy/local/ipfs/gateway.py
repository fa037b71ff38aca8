"""The routes of an IPFS gateway: `GET /ipfs/<cid>`, each whole."""

from aiohttp import web

from deploy.local.guardian import REPOSITORY
from deploy.local.ipfs.files import files

AFRAME = REPOSITORY / "node_modules" / "aframe" / "dist" / "aframe-master.min.js"


async def file(request: web.Request) -> web.Response:
    """GET /ipfs/{cid}: an immutable file."""
    found = files().get(request.match_info["cid"])
    if found is None:
        raise web.HTTPNotFound(text="no link named so")
    body, content_type = found
    headers = {"Cache-Control": "public, max-age=29030400, immutable", "Accept-Ranges": "bytes"}
    return web.Response(body=body, content_type=content_type, headers=headers)


async def aframe(_request: web.Request) -> web.FileResponse:
    """GET /aframe.min.js: what the sample scene loads, where npm put it."""
    if not AFRAME.is_file():
        raise web.HTTPNotFound
    return web.FileResponse(AFRAME)


routes = [web.get("/ipfs/{cid}", file), web.get("/aframe.min.js", aframe)]
