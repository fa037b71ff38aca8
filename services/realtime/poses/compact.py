"""The compact form of a pose: 16 bytes, little endian, for clients with the feature `pose-compact`.

| bytes | value | unit | range |
|---|---|---|---|
| 0-1 | the member's number, unsigned | as `names` of an earlier batch says | |
| 2-4, 5-7, 8-10 | x, y, z, signed | mm | ± 8388.607 m |
| 11-12 | yaw (`rotation.y`), unsigned | 360°/65536 | a whole turn |
| 13-15 | pitch (`rotation.x`, the low 12 bits), roll (`rotation.z`), unsigned | 360°/4096 | a whole turn |

What does not fit travels as JSON in the same packet: quaternions, entities, further fields, a pose without position or
rotation, and whoever is farther from the origin. Rounding is at most 0.5 mm, 0.003° of yaw and 0.044° of pitch and
roll.
"""

from msgspec import UNSET

from libs.common.contracts.presence import AframeUpdate, further_fields, read_update

SIZE = 16  # bytes
NUMBERS = 65536
_MOST_MM = 2**23 - 1


def pack(update: AframeUpdate) -> bytes | None:
    """Bytes 2 to 15; None for what does not fit."""
    position, rotation = update.position, update.rotation
    if position is UNSET or rotation is UNSET or update.entities or rotation.w is not UNSET:
        return None
    if further_fields(update):
        return None
    x, y, z = round(position.x * 1000), round(position.y * 1000), round(position.z * 1000)
    if max(x, y, z) > _MOST_MM or min(x, y, z) < -_MOST_MM:
        return None
    return (
        (x & 0xFFFFFF)
        | (y & 0xFFFFFF) << 24
        | (z & 0xFFFFFF) << 48
        | _turn(rotation.y, 65536) << 72
        | _turn(rotation.x, 4096) << 88
        | _turn(rotation.z, 4096) << 100
    ).to_bytes(14, "little")


def pack_json(data: bytes) -> bytes | None:
    """Returns the compact form of a pose that is JSON; None if it does not fit."""
    return pack(read_update(data))


def _turn(degrees: float, steps: int) -> int:
    return round(degrees * steps / 360) % steps
