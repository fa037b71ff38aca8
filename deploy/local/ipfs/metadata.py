"""The `json_metadata` of sample posts, as front ends of each type write it."""

from typing import Any

from deploy.local.ipfs.files import SCENE, cid_of, panorama, thumbnail
from deploy.local.primary.content import Post

GATEWAY = "https://ipfs.dlux.io/ipfs/"
OWN_PROGRAMS = ("aframe", "vrml", "game")


def json_metadata(post: Post) -> dict[str, Any]:
    """Returns what a post says of itself beside its text."""
    number = post.block % 8
    pictures = {"360": 1, "art": 5}.get(post.type, 0)
    shown: dict[str, Any] = {"app": "dlux/0.1", "tags": list(post.tags), "image": [GATEWAY + cid_of(thumbnail(number))]}
    if pictures:
        shown["assets"] = [_asset(number + place, first=place == 0) for place in range(pictures)]
    if post.type in OWN_PROGRAMS:
        shown["vrHash"] = cid_of(SCENE)
    return shown


def _asset(number: int, *, first: bool) -> dict[str, Any]:
    return {
        "hash": cid_of(panorama(number)),
        "thumbHash": cid_of(thumbnail(number)),
        "type": "ts",
        "name": f"panorama-{number % 8}.png",
        "r": "0 -90 0",
        "f": first,
    }
