"""Reads what a polling client posts: several Engine.IO packets in one body (protocol 4, "Packet encoding")."""

from aiohttp import web
from engineio.exceptions import ContentTooLongError, EngineIOError, UnknownPacketError
from engineio.packet import NOOP, Packet

SEPARATOR = "\x1e"
MAX_PACKETS = 1024  # in one body; the library's own limit of 16 is less than a client gathers in one turn


async def read_body(request: web.Request, most: int) -> str:
    """Returns a body of at most `most` bytes. Raises `EngineIOError`."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise ContentTooLongError
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise EngineIOError("no UTF-8") from error


def decode_payload(body: str) -> list[Packet]:
    """Returns the packets of a body. Raises `EngineIOError` where one of them is none."""
    encoded = body.split(SEPARATOR)
    if len(encoded) > MAX_PACKETS:
        raise ContentTooLongError
    try:
        packets = [Packet(encoded_packet=packet) for packet in encoded]
    except (ValueError, IndexError) as error:
        raise EngineIOError("no Engine.IO packets") from error
    if any(packet.packet_type > NOOP for packet in packets):
        raise UnknownPacketError
    return packets
