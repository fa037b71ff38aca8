"""The page of an account's webhooks in Chromium: its owner subscribes, tries and sends again; others see nothing.

Who moderates a space sees there who listens to it.
"""

from functools import partial

import pytest

from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page
from tests.support.people import Rest
from tests.support.servers import RunStack
from tests.support.waiting import eventually
from tests.support.webhook_sink import Reply, WebhookSink

# What Hive Keychain is to a page; the test signs.
KEYCHAIN = """window.hive_keychain = {
  requestSignBuffer: (account, text, role, answer) => { Object.assign(window, { toSign: text, signed: answer }); },
}"""
POST = "post:alice/my-360-photo"
REFUSED = "Only a space's owner and moderators see its webhooks."
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


async def subscribe(page: Page, url: str, space: str = "global:lobby", *, asymmetric: bool = False) -> None:
    await eventually(partial(page.evaluate, "document.querySelectorAll('#events input').length > 0"))
    await page.evaluate(f"""(() => {{
      document.querySelector('#space').value = '{space}';
      document.querySelector('#asymmetric').checked = {str(asymmetric).lower()};
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


async def moderate(page: Page, space: str) -> None:
    """Asks for the webhooks of a space, whatever comes of it."""
    await page.evaluate(f"document.querySelector('#moderated-space').value = '{space}'")
    await click(page, "#moderate button")
    await eventually(partial(page.evaluate, "document.querySelector('#moderate button').disabled === false"))


@pytest.mark.timeout(600)
async def test_who_moderates_a_space_sees_who_listens_to_it_and_ends_it_and_nobody_else_does(
    stack: Stack, browser: Browser, rest: Rest
) -> None:
    roles = f"/api/spaces/{POST.replace(':', '/').replace('alice/', 'alice%2F')}/roles/bob"
    status, answer, _ = await rest.ask("PUT", roles, {"role": "moderator"}, await rest.token("alice"))
    assert status == 200, answer
    async with WebhookSink() as sink:
        carol = await browser.open("carol", stack.url, "/webhooks", {}, PHONE)
        await log_in(carol, "carol")
        await subscribe(carol, sink.url, POST)
        await moderate(carol, POST)
        await shows(carol, "#status", REFUSED)
        assert await text_of(carol, "#moderated") == ""

        dave = await browser.open("dave", stack.url, "/webhooks", {}, PHONE)
        await log_in(dave, "dave")
        await moderate(dave, POST)
        await shows(dave, "#status", REFUSED)
        assert "carol" not in await text_of(dave, "#moderated")

        guest = await browser.open("guest", stack.url, "/webhooks", {}, PHONE)
        assert await is_hidden(guest, "#moderate")
        await moderate(guest, POST)
        assert "carol" not in await text_of(guest, "body")

        owner = await browser.open("owner", stack.url, "/webhooks", {}, PHONE)
        await log_in(owner, "alice")
        await moderate(owner, POST)
        await shows(owner, "#moderated", "carol")
        assert "/hook" not in await text_of(owner, "#moderated"), "the path of somebody's URL may be a secret"
        assert await owner.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        moderator = await browser.open("moderator", stack.url, "/webhooks", {}, PHONE)
        await log_in(moderator, "bob")
        await moderate(moderator, POST)
        await shows(moderator, "#moderated", "carol")
        await click(moderator, "#moderated button")
        await click(moderator, "#sure button[value=no]")
        await shows(moderator, "#moderated", "carol")
        await click(moderator, "#moderated button")
        await click(moderator, "#sure button[value=yes]")
        await shows(moderator, "#moderated", "Nobody has a webhook")

        await moderate(owner, POST)
        await shows(owner, "#moderated", "Nobody has a webhook")
        token = await rest.token("carol")
        assert (await rest.get("/api/webhooks", token))["webhooks"] == []

        async def is_told() -> bool:
            notices = (await rest.get("/api/notifications", token))["notifications"]
            return any("ended by bob" in (notice["content"] or "") for notice in notices)

        await eventually(is_told)


@pytest.mark.timeout(600)
async def test_an_endpoint_that_never_said_yes_and_a_key_pair_are_told_of_on_the_page(
    run_stack: RunStack, browser: Browser
) -> None:
    async with (
        run_stack(PRESENCE_RATE_LIMIT_FACTOR="100", PRESENCE_WEBHOOK_PING="true") as stack,
        WebhookSink() as sink,
    ):
        owner = await browser.open("owner", stack.url, "/webhooks", {}, PHONE)
        await log_in(owner, "carol")
        await subscribe(owner, sink.url, asymmetric=True)
        await shows(owner, "#state", "unverified")
        await shows(owner, "#todo", "X-DLUX-Challenge")
        await sink.wait_for(1)
        await click(owner, "#test")
        await shows(owner, "#answer", "ping")
        await shows(owner, "#todo", "The last ping:")
        assert await owner.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        public_key = await owner.evaluate("document.querySelector('#key code').textContent")
        assert public_key.startswith("whpk_")

        sink.answer(Reply(200, {"X-DLUX-Challenge": "accept"}))
        await click(owner, "#test")
        await shows(owner, "#state", "active")
        assert await is_hidden(owner, "#todo")
        assert "v1a," in sink.received[-1].headers["webhook-signature"]

        await click(owner, "#pair")
        await click(owner, "#sure button[value=yes]")
        await shows(owner, "#key", "The secret alone signs")
        await click(owner, "#pair")
        await shows(owner, "#key", "whpk_")
        assert await owner.evaluate("document.querySelector('#key code').textContent") != public_key
        assert [line for line in await owner.log() if "error" in line or "uncaught" in line] == []
