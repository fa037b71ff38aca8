"""The page of an account's webhooks in Chromium: its owner subscribes, tries and sends again; others see nothing."""

from functools import partial

import pytest

from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page
from tests.support.people import Rest
from tests.support.waiting import eventually
from tests.support.webhook_sink import Reply, WebhookSink

# What Hive Keychain is to a page; the test signs.
KEYCHAIN = """window.hive_keychain = {
  requestSignBuffer: (account, text, role, answer) => { Object.assign(window, { toSign: text, signed: answer }); },
}"""
PHONE = {"viewport": {"width": 360, "height": 740}}


async def log_in(page: Page, account: str) -> None:
    await page.evaluate(KEYCHAIN)
    await page.evaluate(f"document.querySelector('#account').value = '@{account.title()}'")
    await page.evaluate("document.querySelector('#login').requestSubmit()")
    text = await eventually(partial(page.evaluate, "window.toSign"))
    await page.evaluate(f"window.signed({{ success: true, result: '{sign_text(account, text)}' }})")
    await shows(page, "#who", account)


async def text_of(page: Page, selector: str) -> str:
    return str(await page.evaluate(f"document.querySelector('{selector}')?.textContent ?? ''"))


async def shows(page: Page, selector: str, text: str) -> None:
    async def there() -> bool:
        return text in await text_of(page, selector)

    await eventually(there)


async def click(page: Page, selector: str) -> None:
    await eventually(partial(page.evaluate, f"document.querySelector('{selector}')?.disabled === false"))
    await page.evaluate(f"document.querySelector('{selector}').click()")


async def is_hidden(page: Page, selector: str) -> bool:
    return bool(await page.evaluate(f"document.querySelector('{selector}').checkVisibility() === false"))


async def subscribe(page: Page, url: str) -> None:
    await eventually(partial(page.evaluate, "document.querySelectorAll('#events input').length > 0"))
    await page.evaluate(f"""(() => {{
      document.querySelector('#space').value = 'global:lobby';
      document.querySelector('#url').value = '{url}';
      document.querySelector('#subscribe').requestSubmit(document.querySelector('#subscribe button'));
    }})()""")
    await shows(page, "#secret", "whsec_")


async def log_says(page: Page, text: str) -> bool:
    """Looks again at the first page of the log."""
    await click(page, "#filter button")
    await eventually(partial(page.evaluate, "document.querySelector('#filter button').disabled === false"))
    return text in await text_of(page, "#log")


@pytest.mark.timeout(600)  # where Chromium is to be installed first
async def test_an_owner_lives_on_the_page_and_nobody_else_sees_any_of_it(
    stack: Stack, browser: Browser, rest: Rest
) -> None:
    async with WebhookSink() as sink:
        sink.answer(Reply(418, body=b"I am a teapot"), 500, 200)
        owner = await browser.open("owner", stack.url, "/webhooks", {}, PHONE)
        await log_in(owner, "carol")
        assert await is_hidden(owner, "#login")
        await subscribe(owner, sink.url)
        await click(owner, "#test")
        await shows(owner, "#answer", "I am a teapot")

        await rest.post("/api/chat/global/lobby/messages", {"content": "hello"}, await rest.token("alice"))
        await sink.wait_for(3)
        await eventually(partial(log_says, owner, "delivered"))
        await owner.evaluate("document.querySelector('#log details').open = true")
        await shows(owner, "#log ol", "HTTP 500.")
        await shows(owner, "#log pre", '"message": "hello"')
        await click(owner, "#log details button")
        *_, first, second = await sink.wait_for(4)
        assert first.webhook_id == second.webhook_id

        await click(owner, "#rotate")
        await click(owner, "#sure button[value=yes]")
        await shows(owner, "#state", "Two secrets sign")
        await click(owner, "#pause")
        await shows(owner, "#state", "paused")
        assert await owner.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        opened = await owner.evaluate("location.hash")

        other = await browser.open("other", stack.url, f"/webhooks{opened}", {}, PHONE)
        assert await is_hidden(other, "#mine")
        assert sink.url not in await text_of(other, "body")
        await log_in(other, "dave")
        await shows(other, "#list", "None yet.")
        assert await is_hidden(other, "#one")
        assert sink.url not in await text_of(other, "body")

        await click(owner, "#remove")
        await click(owner, "#sure button[value=yes]")
        await shows(owner, "#list", "None yet.")
        assert [line for line in await owner.log() if "error" in line or "uncaught" in line] == []
