"""The page of the API in Chromium: fields and examples of everything, and a playground that speaks with the server."""

from functools import partial

from deploy.local.stack import Stack
from tests.support.browser import Browser
from tests.support.node import Node
from tests.support.waiting import eventually


async def test_who_reads_the_page_enters_a_space_sees_what_is_said_and_says_something(
    stack: Stack, browser: Browser, node: Node
) -> None:
    page = await browser.open("docs", stack.url, "/docs", {})
    rows = "[...document.querySelectorAll('#events tr')].map((row) => row.textContent)"
    row = str(await eventually(partial(page.evaluate, f"{rows}.find((text) => text.startsWith('thing-hold'))")))
    assert "id: string" in row
    assert '{"id":"ball"}' in row

    other = await node.connect("other", stack.url)
    await other.join("event", "small-talk")
    await page.evaluate("document.querySelector('#space').value = 'event:small-talk'")
    await page.evaluate("document.querySelector('#connect').requestSubmit()")
    await eventually(
        partial(page.evaluate, "document.querySelector('#status').textContent.startsWith('In event:small-talk')")
    )
    await page.evaluate("document.querySelector('#send').requestSubmit(document.querySelector('#emit'))")
    await other.wait_for("chat-message", lambda message: message["content"] == "Hello")
    log = "document.querySelector('#log').textContent"
    for told in ("ack chat-message", "← chat-message", "← space-joined", "message_type"):
        await eventually(partial(page.evaluate, f"{log}.includes('{told}')"))
    await page.evaluate("document.querySelector('#copy').click()")
    await eventually(
        partial(
            page.evaluate, "document.querySelector('#line').textContent.startsWith('await space.chat.say(\"Hello\")')"
        )
    )
