"""Pages of other origins in a real Chromium: those that may call get all the way in, look-alikes nowhere."""

import json
from typing import Any

import pytest

from deploy.local.guardian import REPOSITORY
from deploy.local.keys import sign_text
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page, script, text

# The page has Keychain's place taken by the test, which signs.
STEPS = """
const ask = async (path, options) => {
  const answer = await fetch(STACK + path, options);
  return { status: answer.status, left: answer.headers.get('RateLimit-Remaining'), ...(await answer.json()) };
};
const post = (path, body, headers) => ask(path, { method: 'POST', body: JSON.stringify(body), headers });
const picture = (url, crossOrigin) => new Promise((resolve) => {
  const image = new Image();
  image.crossOrigin = crossOrigin;
  image.onload = () => resolve(image.naturalWidth);
  image.onerror = () => resolve('refused');
  image.src = new URL(url, STACK);
});
const enter = (transports) => new Promise((resolve) => {
  const socket = io(STACK, { transports, auth: { token: window.token }, forceNew: true, reconnection: false });
  socket.on('connect', () => resolve(socket.emitWithAck('join-space', { spaceType: 'event', spaceId: 'elsewhere' })));
  socket.on('connect_error', () => resolve('refused'));
});
const dial = (url, first) => new Promise((resolve) => {
  const room = new WebSocket(url);
  room.onopen = () => room.send(JSON.stringify(first));
  room.onmessage = ({ data }) => { if (JSON.parse(data).type === 'space-joined') resolve(JSON.parse(data)); };
  room.onerror = () => resolve('refused');
});
"""
OURS = ["http://localhost:5173", "https://alice.ipfs.dlux.io"]
LOOK_ALIKES = [
    "https://evil-dlux.io",
    "https://dlux.io.evil.com",
    "https://a.b.ipfs.dlux.io",
    "http://a.localhost:5173",
]
BUNDLE = REPOSITORY / "node_modules" / "socket.io-client" / "dist" / "socket.io.min.js"


async def open_page(browser: Browser, stack: Stack, origin: str) -> Page:
    page = f"<script src='/io.js'></script><script>const STACK = {json.dumps(stack.url)};{STEPS}</script>"
    files = {"/app.html": text("text/html", page), "/io.js": script(BUNDLE)}
    return await browser.open("page", origin, "/app.html", files)


async def post(page: Page, path: str, body: Any, **headers: str) -> Any:
    return await page.evaluate(f"post({json.dumps(path)}, {json.dumps(body)}, {json.dumps(headers)})")


@pytest.mark.parametrize("origin", OURS)
async def test_a_page_of_ours_lists_logs_in_joins_and_connects(stack: Stack, browser: Browser, origin: str) -> None:
    page = await open_page(browser, stack, origin)
    assert await page.evaluate("location.origin") == origin
    assert (await page.evaluate("ask('/api/spaces?limit=3')"))["spaces"][0]["space_id"] == "lobby"

    challenge = (await post(page, "/api/auth/challenge", {"account": "alice"}))["challenge"]
    login = {"account": "alice", "challenge": challenge, "signature": sign_text("alice", challenge)}
    token = (await post(page, "/api/auth/login", login))["token"]
    await page.evaluate(f"window.token = {json.dumps(token)}")
    assert (await page.evaluate("ask('/api/auth/me', {headers: {Authorization: `Bearer ${token}`}})"))[
        "account"
    ] == "alice"
    for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
        assert (await page.evaluate(f"enter({json.dumps(transports)})"))["ok"], transports

    made = await page.evaluate(
        "`dlux_vr_${Date.now()}_${Math.random().toString(36).slice(2).padEnd(9, '0').slice(0, 9)}`"
    )
    bearer = f"Bearer {sign_text('alice', made)}:alice"
    joined = await post(page, "/api/spaces/document/123/join", {"challenge": made}, Authorization=bearer)
    assert joined["status"] == 200, joined
    first = {"type": "join-space", "spaceType": "document", "spaceId": "123", "token": joined["session_token"]}
    room = await page.evaluate(f"dial({json.dumps(joined['websocket_url'])}, {json.dumps(first)})")
    assert room["success"]

    again = await post(page, "/api/spaces/document/123/join", {"challenge": made}, Authorization=bearer)
    assert (again["status"], again["code"]) == (401, "unauthorized"), "it reads an error, too"
    missing = await page.evaluate("ask('/api/spaces/post/nobody/nothing')")
    assert (missing["status"], missing["code"]) == (404, "not_found")
    assert missing["left"], "and what is left of its limit"


@pytest.mark.parametrize("origin", OURS)
async def test_a_page_of_ours_shows_what_a_space_is_with_its_media(stack: Stack, browser: Browser, origin: str) -> None:
    page = await open_page(browser, stack, origin)

    photo = await page.evaluate("ask('/api/spaces/post/alice/my-360-photo/content')")
    assert (photo["status"], photo["scene"]["kind"]) == (200, "360")
    for url in (photo["scene"]["url"], photo["images"][0]["url"]):
        for mode in (None, "anonymous"):  # as an <img>, and as a texture that a canvas may read
            width = await page.evaluate(f"picture({json.dumps(url)}, {json.dumps(mode)})")
            assert width in (64, 512), (url, mode)
    part = await page.evaluate(
        f"fetch(new URL({json.dumps(photo['scene']['url'])}, STACK), {{headers: {{Range: 'bytes=0-9'}}}})"
        ".then(async (got) => [got.status, (await got.arrayBuffer()).byteLength, got.headers.get('Content-Range')])"
    )
    assert part[:2] == [206, 10]
    assert part[2].startswith("bytes 0-9/")
    document = await page.evaluate("ask('/api/spaces/document/alice/open-notes/content')")
    assert document["document"]["text"] == "Everybody may read this.\nWrite to alice to change it."


@pytest.mark.parametrize("origin", LOOK_ALIKES)
async def test_a_look_alike_reads_nothing_and_connects_in_no_way(stack: Stack, browser: Browser, origin: str) -> None:
    page = await open_page(browser, stack, origin)
    assert await page.evaluate("location.origin") == origin
    for call in ("ask('/api/spaces')", "post('/api/auth/guest', {})", "post('/api/spaces/global/lobby/join', {})"):
        assert await page.evaluate(f"{call}.catch((error) => error.name)") == "TypeError", call
    for transports in (["polling"], ["websocket"]):
        assert await page.evaluate(f"enter({json.dumps(transports)})") == "refused", transports
    address = stack.url.replace("http", "ws")
    for path in ("", "/socket.io/"):
        assert await page.evaluate(f"dial({json.dumps(address + path)}, {{}})") == "refused", path
