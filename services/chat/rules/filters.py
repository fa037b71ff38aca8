"""Filters: rules that a text passes before it is stored, in a chain that an installation can extend.

A filter returns, or raises the `PresenceError` that the author sees; `rule` in its details says which rule it is, a
setting's name where it has one. Moderators, owners and operators pass all of them.
Filters run inside the writing transaction, before it holds any lock that another writer waits for; one that asks a
service over the network must bound the time itself, as `Moderation` does.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from libs.common.access import Standing
from libs.common.bus.base import Caller
from libs.common.errors import FORBIDDEN, RATE_LIMITED, PresenceError
from libs.common.identity import Identity
from libs.common.roles import Role
from services.chat.rules import slow_mode
from services.chat.rules.blocked_words import blocked
from services.chat.rules.links import has_link

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A text that is about to be stored, its author, and the author's standing in the space."""

    caller: Caller
    standing: Standing
    content: str

    @property
    def author(self) -> Identity:
        """The identity of the author."""
        return self.caller.identity

    def option(self, name: str) -> Any:
        """Returns the value that the space's owner put under `settings.settings`; None without one."""
        options = self.standing.settings["settings"]
        return options.get(name) if isinstance(options, dict) else None


class Filter(Protocol):
    async def check(self, draft: Draft) -> None:
        """Returns if the text may be stored. Raises the `PresenceError` that the author is to see."""


async def check_all(filters: Sequence[Filter], draft: Draft) -> None:
    """Asks each filter in turn, until one raises; none for moderators and above."""
    if draft.standing.role < Role.MODERATOR:
        for filter_ in filters:
            await filter_.check(draft)


class LinkRule:
    """Limits who may post links: `settings.chat_links` is `all`, `accounts` (the default), `members` or `none`."""

    _LEAST = {"all": Role.GUEST, "accounts": Role.VISITOR, "members": Role.MEMBER, "none": Role.MODERATOR}

    async def check(self, draft: Draft) -> None:
        least = self._LEAST.get(str(draft.option("chat_links")), Role.VISITOR)
        if draft.standing.role < least and has_link(draft.content):
            raise PresenceError(FORBIDDEN, "Links are not for everyone in this space.", {"rule": "chat_links"})


class FloodRule:
    """Limits how often an author, or the guests of an address together, repeat a text in one space.

    It counts in this process; another begins anew.
    """

    MOST_AUTHORS = 10_000

    def __init__(self, repeats: int = 10, seconds: float = 10.0) -> None:
        self._repeats = repeats
        self._seconds = seconds
        self._recent: OrderedDict[str, deque[tuple[float, int]]] = OrderedDict()

    async def check(self, draft: Draft) -> None:
        moment, text_hash = time.monotonic(), hash(draft.content.casefold().strip())
        recent = self._of(f"{slow_mode.paced_as(draft.caller)[-1]} {draft.standing.space}")
        while recent and recent[0][0] < moment - self._seconds:
            recent.popleft()
        if sum(before == text_hash for _, before in recent) >= self._repeats:
            text = "The same again and again; wait a little."
            raise PresenceError(RATE_LIMITED, text, {"rule": "flood", "retry_after": round(self._seconds)})
        recent.append((moment, text_hash))

    def _of(self, author: str) -> deque[tuple[float, int]]:
        recent = self._recent.setdefault(author, deque(maxlen=4 * self._repeats))
        self._recent.move_to_end(author)
        if len(self._recent) > self.MOST_AUTHORS:
            self._recent.popitem(last=False)
        return recent


class Moderator(Protocol):
    """An automatic moderator: a model, a service, a list."""

    async def review(self, draft: Draft) -> str | None:
        """Returns why the text is refused, in words for its author; None if it is not."""


class Moderation:
    """Asks an automatic moderator. A moderator that is late or fails lets the text pass.

    `rule` is what the author hears of it: which rule it was that refused.
    """

    def __init__(self, moderator: Moderator, seconds: float = 0.5, rule: str = "moderator") -> None:
        self._moderator = moderator
        self._seconds = seconds
        self._rule = rule

    async def check(self, draft: Draft) -> None:
        reason = await self._review(draft)
        if reason:
            raise PresenceError(FORBIDDEN, reason, {"rule": self._rule, "moderated": True})

    async def _review(self, draft: Draft) -> str | None:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._moderator.review(draft)
        except Exception as error:
            _log.warning("automatic moderator gave no answer", space=str(draft.standing.space), error=repr(error))
            return None


class BlockedWords:
    """Refuses texts in which people see a word that the space's owner listed in `settings.blocked_words`."""

    async def review(self, draft: Draft) -> str | None:
        listed = draft.option("blocked_words")
        if not isinstance(listed, list):
            return None
        if blocked(tuple(word for word in listed if isinstance(word, str))).is_in(draft.content):
            return "The message has a word that is not welcome in this space."
        return None


def shipped() -> list[Filter]:
    """Returns the chain of an installation that adds nothing."""
    return [LinkRule(), FloodRule(), Moderation(BlockedWords(), rule="blocked_words")]
