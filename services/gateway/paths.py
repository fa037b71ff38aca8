"""Finds the path of the registry that a URL is, so that a method which it does not take is refused for that path.

`{space_id}` and `{document_id}` may hold a slash, so `/api/spaces/post/bob/my-post/join` also fits
`/api/spaces/{space_type}/{space_id}`. The path that says more of a URL takes it, unless what is left to it is no id,
the other's is one, and the other takes the method: `GET /api/spaces/post/bob/join` is the space of bob's post "join".
"""

import re
from collections.abc import Iterable
from enum import IntEnum
from urllib.parse import unquote

from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey

_GREEDY = "space_id|document_id"


class Fit(IntEnum):
    """How well a URL fits a path."""

    NONE = 0
    SHAPE = 1  # what stands in the place of the space is no name of one
    WHOLE = 2


class OperationPath(web.DynamicResource):
    """A path of the registry, with a route for each of its methods. `acquaint` makes them know each other."""

    def __init__(self, path: str) -> None:
        super().__init__(re.sub(rf"{{({_GREEDY})}}", r"{\1:.+}", path))
        self.sample = re.sub(r"{\w+}", "x", path)
        self.methods: frozenset[str] = frozenset()
        self.more_literal: list[OperationPath] = []
        self.less_literal: list[OperationPath] = []

    def covers(self, other: "OperationPath") -> bool:
        """Returns whether every URL of another path fits this one too."""
        return self is not other and self.fit(other.sample) is not Fit.NONE

    def fit(self, url: str) -> Fit:
        match = self.get_info()["pattern"].fullmatch(url)
        if match is None:
            return Fit.NONE
        return Fit.WHOLE if _may_be_a_space(match.groupdict()) else Fit.SHAPE

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        """Returns the route of a request and the methods that this path takes; nothing for a URL of another path."""
        taken = self._takes(request.rel_url.path_safe, request.method)
        return await super().resolve(request) if taken else (None, set())

    def _takes(self, url: str, method: str) -> bool:
        fit = self.fit(url)
        return (
            fit is not Fit.NONE
            and all(other.fit(url) < fit for other in self.more_literal)
            and all(other.fit(url) <= fit or method not in other.methods for other in self.less_literal)
        )


def acquaint(paths: Iterable[OperationPath]) -> None:
    """Tells each path which others say more of its URLs, and which less."""
    every = list(paths)
    for path in every:
        path.methods = frozenset(route.method for route in path)
        path.more_literal = [other for other in every if path.covers(other)]
        path.less_literal = [other for other in every if other.covers(path)]


def _may_be_a_space(names: dict[str, str]) -> bool:
    """Returns whether the parts of a path that name a space could be one's name; true where none do."""
    space_id = names.get("space_id", names.get("document_id"))
    if space_id is None:
        return True
    try:
        SpaceKey.parse(names.get("space_type", "document"), unquote(space_id))
    except PresenceError:
        return False
    return True
