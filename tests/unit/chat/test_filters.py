"""The shipped rules, on texts that are hard for them."""

import pytest

from libs.common.access import DEFAULT_SETTINGS, Standing
from libs.common.bus.base import Caller
from libs.common.errors import PresenceError
from libs.common.identity import guest_identity
from libs.common.roles import Role
from libs.common.spaces import LOBBY
from services.chat.rules.filters import Draft, LinkRule


def by_a_guest(text: str) -> Draft:
    standing = Standing(LOBBY, True, True, Role.GUEST, False, False, DEFAULT_SETTINGS)
    return Draft(Caller(guest_identity("0192"), "r", "203.0.113.9"), standing, text)


@pytest.mark.parametrize(
    "text", ["http://x", "HTTPS://x.y", "see www.x", "example.com", "a-b.example.org/x", "a-.net", "(x.io)", "x.com."]
)
async def test_a_link_is_a_link(text: str) -> None:
    with pytest.raises(PresenceError):
        await LinkRule().check(by_a_guest(text))


@pytest.mark.parametrize("text", ["a.b", "well.community", "the .com bubble", "1.5", "e.g. this", "file.commit"])
async def test_a_dot_is_no_link(text: str) -> None:
    await LinkRule().check(by_a_guest(text))


async def test_looking_for_links_ends_however_many_words_a_text_has() -> None:
    """In quadratic time this would not, before the run's limit for a test."""
    await LinkRule().check(by_a_guest("a-" * 200_000))
