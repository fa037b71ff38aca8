"""Asks a local server whether it serves yet. None of these raises: no answer is an answer."""

import asyncio

TIMEOUT_SECONDS = 2.0


async def exchange(port: int, send: bytes, host: str = "127.0.0.1") -> bytes:
    """The first bytes a server says after `send`; empty where it does not listen, closes, or takes too long."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(send)
                return await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


async def http_status(port: int, path: str) -> int | None:
    """The status of GET path, or None without an answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    first = (await exchange(port, request.encode())).split(b"\r\n", 1)[0].split(b" ")
    return int(first[1]) if len(first) > 1 and first[0].startswith(b"HTTP/") and first[1].isdigit() else None


async def can_connect(host: str, port: int) -> bool:
    """Returns whether something accepts TCP connections there."""
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
