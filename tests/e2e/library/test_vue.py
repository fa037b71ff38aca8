"""The library's composables in a Vue app in Chromium: the lines of its README, by two people."""

from functools import partial

import pytest

from deploy.local.stack import Stack
from tests.support.browser import Browser, Page
from tests.support.library import PAGE, page, readme
from tests.support.waiting import eventually

APP = "document.querySelector('#app').__vue_app__"


async def open_app(browser: Browser, stack: Stack, name: str) -> Page:
    lines = "\n".join(readme("js vue")).replace("http://localhost:8080", stack.url)
    lines = lines.replace("post:bob/sculpture-hall", "event:library-vue-pages").replace("'Ann'", f"'{name}'")
    opened = await browser.open(name, stack.url, PAGE, page(lines, body="<div id='app'></div>"))
    await eventually(partial(opened.evaluate, "document.querySelector('#state')?.textContent === 'live'"))
    return opened


@pytest.mark.timeout(600)
async def test_the_readmes_app_shows_people_and_what_they_say_and_leaves_when_it_is_unmounted(
    stack: Stack, browser: Browser
) -> None:
    ann, ben = [await open_app(browser, stack, name) for name in ("Ann", "Ben")]
    for each, other in ((ann, "Ben"), (ben, "Ann")):
        await eventually(partial(each.evaluate, f"document.querySelector('li')?.textContent === '{other} (guest)'"))
    await ann.evaluate("document.querySelector('button').click()")
    for each in (ann, ben):
        shown = "document.querySelector('.message')?.textContent.startsWith('Hello')"
        await eventually(partial(each.evaluate, shown))
    await ben.evaluate(f"{APP}.unmount()")
    await eventually(partial(ann.evaluate, "!document.querySelector('li')"))
    for each in (ann, ben):
        assert not [line for line in await each.log() if line.startswith(("uncaught", "error", "warning"))], (
            await each.log()
        )
