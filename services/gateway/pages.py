"""Serves the few pages and documents of the gateway itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

_WEB = Path(__file__).parent / "web"
_CLIENT = Path("socket.io-client/dist/socket.io.min.js")
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Pages:
    """`documents` maps a path to a JSON document; `node_modules` is where npm put the Socket.IO client."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], node_modules: str) -> None:
        self._documents = {path: msgspec.json.encode(document) for path, document in documents.items()}
        self._files = {
            "/": _WEB / "index.html",
            "/docs": _WEB / "docs.html",
            **{f"/web/{file.name}": file for file in _WEB.iterdir() if file.suffix in {".js", ".css", ".svg"}},
            "/web/socket.io.min.js": Path(node_modules) / _CLIENT,
        }

    def add_to(self, router: web.UrlDispatcher) -> None:
        for path in self._documents:
            router.add_get(path, self._document)
        for path in self._files:
            router.add_get(path, self._file)

    async def _document(self, request: web.Request) -> web.Response:
        return web.json_response(body=self._documents[request.path])

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = self._files[request.path]
        if not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file, headers=_SECURITY)
