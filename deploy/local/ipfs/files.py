"""What the stand-in gateway has, each under its true CID: version 1, raw, SHA-256."""

import base64
import hashlib
from functools import cache

from deploy.local.ipfs.pictures import picture

PANORAMA, THUMBNAIL = (512, 256), (64, 32)
PICTURES = 8
SCENE = b"""<!DOCTYPE html>
<html lang="en">
  <head><meta charset="utf-8"><title>A room</title><script src="/aframe.min.js"></script></head>
  <body>
    <a-scene>
      <a-sky color="#9fc5e8"></a-sky>
      <a-plane rotation="-90 0 0" width="20" height="20" color="#6aa84f"></a-plane>
      <a-box position="-1 0.5 -3" rotation="0 45 0" color="#4cc3d9"></a-box>
      <a-sphere position="0 1.25 -5" radius="1.25" color="#ef2d5e"></a-sphere>
    </a-scene>
  </body>
</html>
"""


def cid_of(data: bytes) -> str:
    """Returns the CID of a file that is one block."""
    name = b"\x01\x55\x12\x20" + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(name).decode().lower().rstrip("=")


@cache
def panorama(number: int) -> bytes:
    return picture(f"panorama {number % PICTURES}", *PANORAMA)


@cache
def thumbnail(number: int) -> bytes:
    return picture(f"panorama {number % PICTURES}", *THUMBNAIL)


@cache
def files() -> dict[str, tuple[bytes, str]]:
    """Returns every file by its CID, with its media type."""
    pictures = [make(number) for number in range(PICTURES) for make in (panorama, thumbnail)]
    return {cid_of(data): (data, "image/png") for data in pictures} | {cid_of(SCENE): (SCENE, "text/html")}
