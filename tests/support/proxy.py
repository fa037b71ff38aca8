"""A TCP proxy that holds what passes for a while, as a network between two places does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65536  # bytes


@asynccontextmanager
async def delayed(url: str, seconds: float) -> AsyncIterator[str]:
    """Yields a URL at which the server of `url` is `seconds` away, there and back."""
    parts = urlsplit(url)
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(parts.hostname, parts.port)
        connections.add(asyncio.ensure_future(_pipe(reader, there[1], seconds / 2)))
        connections.add(asyncio.ensure_future(_pipe(there[0], writer, seconds / 2)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Writes each chunk `seconds` after it came, in order; ends the connection when it has ended."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        with contextlib.suppress(OSError):
            while (item := await waiting.get())[1]:
                await asyncio.sleep(item[0] - loop.time())
                writer.write(item[1])
                await writer.drain()
        writer.close()

    writing = asyncio.ensure_future(write())
    try:
        while chunk := await _read(reader):
            waiting.put_nowait((loop.time() + seconds, chunk))
        waiting.put_nowait((0.0, b""))
        await writing
    finally:
        writing.cancel()


async def _read(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(OSError):
        return await reader.read(CHUNK)
    return b""
