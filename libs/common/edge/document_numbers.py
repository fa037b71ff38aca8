"""Documents have a number at the primary, also those that are named by owner and permlink: both lead to one space.

Edges put the space's name in the number's place before anything else sees it, so whatever is known of a space,
its bans, its admissions, its members, is known by one key.
"""

import re
import time
from collections.abc import Callable
from typing import Any

from libs.common.bus.base import Bus, Caller
from libs.common.contracts import spaces
from libs.common.contracts.schema import has_field
from libs.common.contracts.spaces import ResolveDocument
from libs.common.errors import PresenceError
from libs.common.spaces import SpaceKey

KNOWN_SECONDS = 10.0  # for which an answer holds; a document that is new at the primary is found after that
MOST_KNOWN = 10_000  # numbers
PATIENCE = 1.0  # seconds for spaces_auth to answer
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)  # as in `spaces.ID_FORMS`


class DocumentNumbers:
    """Names the spaces of documents. While spaces_auth is away a number is taken as a name, which most of them are."""

    def __init__(self, bus: Bus, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._clock = clock
        self._known: dict[str, tuple[str, float]] = {}  # number → name, and until when

    async def key(self, space: SpaceKey, caller: Caller) -> SpaceKey:
        """Returns the space that `caller` means; it may not exist."""
        if space.space_type != "document":
            return space
        return SpaceKey("document", await self._name(space.space_id, caller))

    async def fields(self, request: type, fields: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Returns a request's fields with the name of the document's space where they have its number."""
        if has_field(request, "document_id"):
            field = "document_id"
        elif has_field(request, "space_id") and fields.get("space_type") == "document":
            field = "space_id"
        else:
            return fields
        given = fields.get(field)
        return {**fields, field: await self._name(given, caller)} if isinstance(given, str) else fields

    async def _name(self, given: str, caller: Caller) -> str:
        if not _NUMBER.fullmatch(given):
            return given
        name, until = self._known.get(given, (given, 0.0))
        if self._clock() < until:
            return name
        try:
            asked = ResolveDocument(int(given))
            name = (await self._bus.call(spaces.resolve_document, asked, caller, timeout=PATIENCE)).space_id or given
        except PresenceError:
            pass  # what was known, or the number
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[given] = name, self._clock() + KNOWN_SECONDS
        return name
