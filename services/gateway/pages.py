"""Serves the few pages and documents of the gateway itself, from bytes that were made ready at its start."""

import hashlib
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ETag, web

_WEB = Path(__file__).parent / "web"
_CLIENT = Path("socket.io-client/dist/socket.io.min.js")
_SECURITY = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
}


class Page:
    """What one path answers; 304 to who has it already (RFC 9110, 13.1.2)."""

    def __init__(self, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        self._body = body
        self._content_type = content_type
        self._headers = headers
        self._tag = ETag(hashlib.sha256(body).hexdigest()[:32])

    async def answer(self, request: web.Request) -> web.Response:
        known = self._tag in (request.if_none_match or ())
        response = web.Response(status=304) if known else web.Response(body=self._body, content_type=self._content_type)
        response.headers.update(self._headers)
        response.etag = self._tag
        return response


class Pages:
    """`documents` maps a path to a JSON document; `node_modules` is where npm put the Socket.IO client."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]], node_modules: str) -> None:
        files = {
            "/": _WEB / "index.html",
            "/docs": _WEB / "docs.html",
            **{f"/web/{file.name}": file for file in _WEB.iterdir() if file.suffix in {".js", ".css", ".svg"}},
            "/web/socket.io.min.js": Path(node_modules) / _CLIENT,
        }
        self._pages = {
            path: Page(msgspec.json.encode(document), "application/json", {}) for path, document in documents.items()
        } | {path: _page(file) for path, file in files.items() if file.is_file()}

    def add_to(self, router: web.UrlDispatcher) -> None:
        for path, page in self._pages.items():
            router.add_get(path, page.answer)


def _page(file: Path) -> Page:
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Page(file.read_bytes(), content_type, _SECURITY)
