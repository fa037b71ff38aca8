"""Pictures that are the same in every run: gradients with a horizon, as PNG."""

import hashlib
import struct
import zlib


def picture(name: str, width: int, height: int) -> bytes:
    """Returns a PNG whose colours follow from `name`: sky above, ground below, bars to see where one looks."""
    sky, ground = _colour(f"sky {name}"), _colour(f"ground {name}")
    rows = b"".join(b"\x00" + _row(y, width, height, sky, ground) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _row(y: int, width: int, height: int, sky: bytes, ground: bytes) -> bytes:
    half = height // 2
    near = abs(y - half) / half
    plain = bytes(round(channel * (0.4 + 0.6 * near)) for channel in (sky if y < half else ground))
    if half * 0.8 < y < half:  # a fence at the horizon
        bar = bytes(255 - channel for channel in plain)
        return ((plain * 12 + bar * 4) * (width // 16 + 1))[: width * 3]
    return plain * width


def _colour(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:3]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
