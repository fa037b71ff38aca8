"""A TCP proxy that holds what passes for a while, as a network between two places does."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65536  # bytes


@asynccontextmanager
async def delayed(url: str, seconds: float) -> AsyncIterator[str]:
    """Yields a URL at which the server of `url` is `seconds` away, there and back; a process of its own."""
    proxy = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.proxy", url, str(seconds)), stdout=asyncio.subprocess.PIPE
    )
    assert proxy.stdout
    try:
        yield (await proxy.stdout.readline()).decode().strip()
    finally:
        proxy.terminate()
        await proxy.wait()


async def _serve(url: str, seconds: float) -> None:
    parts = urlsplit(url)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(_pipe(reader, back, seconds / 2), _pipe(there, writer, seconds / 2))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl(), flush=True)
    await server.serve_forever()


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


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
