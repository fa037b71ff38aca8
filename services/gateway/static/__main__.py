"""`python -m services.gateway.static FOLDER`: writes what Caddy serves by itself: pages, scripts and API documents."""

import sys
from pathlib import Path

import msgspec

from libs.common.contracts import default_registry
from libs.common.settings import read
from services.gateway.static.asyncapi import asyncapi_document
from services.gateway.static.openapi import openapi_document
from services.gateway.static.settings import StaticSettings
from services.gateway.static.site import Site

WEB = Path(__file__).parent / "web"
CLIENT = Path("socket.io-client/dist/socket.io.min.js")


def sources(settings: StaticSettings) -> dict[str, bytes]:
    """Returns what is served, by path: pages and documents as they are named, the rest under `web/`."""
    registry = default_registry()
    documents = {
        "openapi.json": openapi_document(registry, settings.public_url),
        "asyncapi.json": asyncapi_document(registry, settings.public_url),
    }
    files = {file.name if file.suffix == ".html" else f"web/{file.name}": file for file in WEB.iterdir()}
    files["web/socket.io.min.js"] = Path(settings.node_modules) / CLIENT
    return {
        **{path: msgspec.json.encode(document) for path, document in documents.items()},
        **{path: file.read_bytes() for path, file in files.items()},
    }


if __name__ == "__main__":
    Site(Path(sys.argv[1])).write(sources(read(StaticSettings)))
