"""Two tabs of one browser share a login of the library: signed once, renewed by one of them."""

import json
from functools import partial

import pytest

from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page
from tests.support.library import PAGE, page
from tests.support.waiting import eventually

MODULE = """
import { connect, keychain } from '@dlux/presence';

window.challenges = [];
const sign = (challenge) => new Promise((signed) => { challenges.push(challenge); Object.assign(window, { signed }); });
window.enter = async (key) => {
  window.presence = await connect(location.origin, { as: keychain('alice', { sign }) });
  window.space = await presence.enter(key);
};
window.token = () => presence.server.login.token();
window.renew = (refused) => presence.server.login.renew(refused);
window.me = async () => (await presence.ask('GET', '/api/auth/me')).account;
const asks = ({ name }) => name.endsWith('/api/auth/refresh');
window.refreshes = () => performance.getEntriesByType('resource').filter(asks).length;
window.ready = true;
"""
SPACE = json.dumps("event:library-tabs")


@pytest.mark.timeout(600)
async def test_of_two_tabs_one_signs_and_one_renews_and_both_go_on(stack: Stack, browser: Browser) -> None:
    one = await browser.open("one", stack.url, PAGE, page(MODULE))
    await eventually(partial(one.evaluate, "window.ready"))
    await one.evaluate(f"void enter({SPACE})")
    challenge = await eventually(partial(one.evaluate, "challenges[0]"))
    await one.evaluate(f"signed('{sign_text('alice', challenge)}')")
    await eventually(partial(one.evaluate, "window.space?.state === 'live'"))

    two = await browser.open("two", stack.url, PAGE, page(MODULE), beside="one")
    await eventually(partial(two.evaluate, "window.ready"))
    await two.evaluate(f"enter({SPACE})")
    tabs = [one, two]
    assert [await tab.evaluate("challenges.length") for tab in tabs] == [1, 0], "the second tab has the login"

    first = await one.evaluate("token()")
    assert await two.evaluate("token()") == first
    for tab in tabs:
        await tab.evaluate(f"void renew({json.dumps(first)})")

    async def both_have_the_next() -> bool:
        tokens = [await tab.evaluate("token()") for tab in tabs]
        return bool(tokens[0] == tokens[1] != first)

    await eventually(both_have_the_next)
    assert await asked(tabs) == 1, "one of them asked, the other read"
    assert [await tab.evaluate("me()") for tab in tabs] == ["alice", "alice"]
    for tab in tabs:
        assert (await tab.evaluate("space.chat.say('From a tab')"))["user_account"] == "alice"
    await one.evaluate("presence.logOut()")
    assert await two.evaluate("me().catch(({ code }) => code)") in ("session_expired", "unauthorized")


async def asked(tabs: list[Page]) -> int:
    return sum([int(await tab.evaluate("refreshes()")) for tab in tabs])
