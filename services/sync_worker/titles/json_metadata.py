"""Reads the `json_metadata` of a post, which anybody writes: pictures, things to stand in a scene, its app, tags.

Whatever has another type than it should is left out, and all is bounded in number and length, so that no post makes a
row or an answer large. Addresses are `ipfs://<cid>[/<path>]` or https, nothing else.
"""

import re
from typing import Any

import msgspec
from yarl import URL

from libs.common.outbound import ipfs

MOST_IMAGES = 50
MOST_ASSETS = 100
MOST_TAGS = 30
LONGEST_URL = 1000  # characters
LONGEST_NAME = 100
LONGEST_WORD = 64
NO_ROTATION = "0 0 0"
_NUMBER = r"-?[0-9]{1,4}(?:\.[0-9]{1,4})?"
_ROTATION = re.compile(rf"{_NUMBER} {_NUMBER} {_NUMBER}", re.ASCII)  # degrees about x, y, z, as A-Frame writes them


class Asset(msgspec.Struct, frozen=True):
    """A picture or model of a scene. `first` is the one to begin with."""

    url: str
    thumb: str | None
    kind: str
    name: str
    rotation: str
    first: bool


class Details(msgspec.Struct, frozen=True):
    """What is kept of a post's metadata. `entry` is the scene's own app, `ipfs://<cid>[/<path>]`."""

    images: list[str] = []
    assets: list[Asset] = []
    entry: str | None = None
    app: str | None = None
    license: str | None = None
    tags: list[str] = []


def read_object(value: Any) -> dict[str, Any]:
    """Returns `json_metadata` as an object: it comes as one, as its text, or as nonsense, which is empty."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def read_details(metadata: dict[str, Any]) -> Details:
    """Returns the parts of a post's metadata that its space shows."""
    assets = (_asset(item) for item in _items(metadata.get("assets"), MOST_ASSETS))
    images = (address(item) for item in _items(metadata.get("image"), MOST_IMAGES))
    tags = (_word(item, LONGEST_WORD) for item in _items(metadata.get("tags"), MOST_TAGS))
    app = metadata.get("app")
    return Details(
        images=[image for image in images if image],
        assets=[asset for asset in assets if asset],
        entry=_on_ipfs(metadata.get("vrHash")),
        app=_word(app.get("name") if isinstance(app, dict) else app, LONGEST_NAME) or None,
        license=_word(metadata.get("license"), LONGEST_WORD) or None,
        tags=list(dict.fromkeys(tag for tag in tags if tag)),
    )


def address(value: Any) -> str | None:
    """Returns `ipfs://…` or an https URL; None for anything else, such as `javascript:` or another type."""
    if not isinstance(value, str) or len(value) > LONGEST_URL:
        return None
    written = clean(value)
    return ipfs.reference(written) or (written if _is_https(written) else None)


def clean(value: Any) -> str:
    """A text that PostgreSQL takes: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    return value.replace("\x00", "").encode("utf-8", "replace").decode().strip()


def _is_https(text: str) -> bool:
    if not text.isprintable() or any(character.isspace() for character in text):
        return False
    try:
        url = URL(text)
        return url.scheme == "https" and bool(url.host) and url.raw_user is None and url.raw_password is None
    except ValueError:
        return False


def _on_ipfs(value: Any) -> str | None:
    return ipfs.reference(clean(value)) if isinstance(value, str) and len(value) <= LONGEST_URL else None


def _asset(value: Any) -> Asset | None:
    """Returns an item of `assets: [{hash, thumbHash, type, name, r, f}]`, of which only `hash` has to be there."""
    if not isinstance(value, dict) or (url := address(value.get("hash"))) is None:
        return None
    rotation = _word(value.get("r"), LONGEST_WORD)
    return Asset(
        url=url,
        thumb=address(value.get("thumbHash")),
        kind=_word(value.get("type"), LONGEST_WORD),
        name=_word(value.get("name"), LONGEST_NAME),
        rotation=rotation if _ROTATION.fullmatch(rotation) else NO_ROTATION,
        first=value.get("f") in (True, 1, "true", "1"),
    )


def _items(value: Any, most: int) -> list[Any]:
    """Returns the first of a list; a text alone is a list of one."""
    return value[:most] if isinstance(value, list) else [value] if isinstance(value, str) else []


def _word(value: Any, longest: int) -> str:
    return clean(value[:longest]) if isinstance(value, str) else ""
