"""What stands around people in each kind of space."""

from collections.abc import Mapping
from urllib.parse import quote

from libs.common.contracts.content import Asset, Image, Scene
from libs.common.outbound.ipfs import SCHEME
from libs.common.spaces import SpaceKey

BY_SPACE: Mapping[str, str] = {"document": "document", "global": "lobby", "community": "lobby", "event": "lobby"}
BY_TYPE: Mapping[str, str] = {  # the primary's types of posts
    "360": "360",
    "vrml": "vrml",
    "aframe": "aframe",
    "blog": "blog",
    "art": "gallery",
    "gallery": "gallery",
    "game": "game",
}
PICTURES = ("360", "gallery")
APPS = ("vrml", "aframe", "game")


def kind_of(space: SpaceKey, post_type: str) -> str:
    """Returns the kind of a space's scene; posts of a type that nobody knows are `blog`."""
    return BY_SPACE.get(space.space_type) or BY_TYPE.get(post_type.lower(), "blog")


class Addresses:
    """Where browsers find what is named. `apps_url` has `{cid}` and may have `{author}`: posts' own programs run there,
    apart from us.
    """

    def __init__(self, public_url: str, apps_url: str) -> None:
        self._media = f"{public_url.rstrip('/')}/api/media/"
        self._apps = apps_url

    def of(self, address: str) -> str:
        """Returns the URL of a picture or model: through our door what is on IPFS, anything else as it is."""
        return self._media + quote(address.removeprefix(SCHEME)) if address.startswith(SCHEME) else address

    def of_app(self, entry: str, author: str) -> str:
        name = quote(entry.removeprefix(SCHEME))
        return self._apps.replace("{author}", author).replace("{cid}", name)


def scene(kind: str, entry: str | None, author: str, shown: tuple[list[Asset], list[Image]], at: Addresses) -> Scene:
    """Returns the scene of a post: of pictures the first one, of a program the program, of a text nothing."""
    assets, images = shown
    url = None
    if kind in PICTURES:
        first = next((asset for asset in assets if asset.first), assets[0] if assets else None)
        url = first.url if first else images[0].url if images else None
    elif kind in APPS and entry:
        url = at.of_app(entry, author)
    return Scene(kind, url, entry)
