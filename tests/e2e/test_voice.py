"""Two people talk: our page in two Chromiums, each with a microphone that beeps, through real WebRTC connections."""

from collections import Counter
from functools import partial

import asyncpg
import pytest

from deploy.local.stack import Stack
from tests.support.browser import Browser, Page
from tests.support.waiting import eventually

ENTER = """(async () => {{
  const space = [...document.querySelectorAll('#space option')].find((one) => one.textContent.includes('· {kind}'));
  document.querySelector('#space').value = space.value;
  document.querySelector('#name').value = '{name}';
  document.querySelector('#enter').requestSubmit();
}})()"""
# What is heard. A track of another's is muted until the first of its packets has come.
SOUNDS = """[...document.querySelectorAll('audio:not([data-old])')].filter(
  (audio) => audio.srcObject?.getAudioTracks().some((track) => !track.muted)).length"""
TALK = "document.querySelector('#talk').click()"


async def come_in(page: Page, name: str, kind: str) -> None:
    """Into the first space of that kind, where no other test is."""
    await eventually(partial(page.evaluate, "document.querySelectorAll('#space option').length > 0"))
    await page.evaluate(ENTER.format(name=name, kind=kind))
    await eventually(partial(page.evaluate, "!document.querySelector('#room').hidden"))


async def shown(page: Page) -> list[str]:
    """The list of people, one's own line last."""
    lines: list[str] = await page.evaluate("[...document.querySelectorAll('#people li')].map((li) => li.textContent)")
    return sorted(lines, key=lambda line: ", you" in line)


async def hears_one(page: Page) -> bool:
    return bool(await page.evaluate(f"{SOUNDS} === 1 && !document.querySelector('audio[data-old]')"))


async def paths_reported(stack: Stack, space_type: str = "") -> Counter[str]:
    """How the connections that clients told of so far got through, in spaces of a type; '' where they named none."""
    connection = await asyncpg.connect(stack.settings["PRESENCE_DATABASE_URL"])
    try:
        rows = await connection.fetch(
            "SELECT outcome, path, reports FROM webrtc_days WHERE space_type = $1", space_type
        )
    finally:
        await connection.close()
    assert {row["outcome"] for row in rows} <= {"connected"}
    found: Counter[str] = Counter()
    for row in rows:
        found[row["path"]] += row["reports"]
    return found


@pytest.mark.timeout(600)  # where Chromium is to be installed first
@pytest.mark.parametrize(("path", "kind"), [("/", "game"), ("/?relay", "vrml")], ids=["direct", "relayed"])
async def test_two_pages_hear_each_other(stack: Stack, browser: Browser, path: str, kind: str) -> None:
    before = await paths_reported(stack)
    ann, ben = [await browser.open(name, stack.url, path, {}) for name in ("Ann", "Ben")]
    await come_in(ann, "Ann", kind)
    await come_in(ben, "Ben", kind)
    for page in (ann, ben):
        await page.evaluate(TALK)
    for page in (ann, ben):
        await eventually(partial(hears_one, page))
    assert [await shown(ann), await shown(ben)] == [
        ["Ben (guest) · heard", "Ann (guest), you · talks"],
        ["Ann (guest) · heard", "Ben (guest), you · talks"],
    ]

    async def both_reported() -> list[str] | None:
        reported = list((await paths_reported(stack) - before).elements())
        return reported if len(reported) == 2 else None

    reported = await eventually(both_reported)
    assert (set(reported) == {"relay"}) is (path == "/?relay")

    await ben.evaluate(TALK)
    await eventually(partial(ann.evaluate, "document.querySelectorAll('audio').length === 0"))
    await eventually(partial(shows, ann, ["Ben (guest)", "Ann (guest), you · talks"]))
    for page in (ann, ben):
        assert not [line for line in await page.log() if line.startswith(("uncaught", "error"))], await page.log()


async def shows(page: Page, lines: list[str]) -> bool:
    return await shown(page) == lines


@pytest.mark.timeout(600)
async def test_two_voices_hear_each_other_again_after_the_replica_of_one_was_killed(
    stack: Stack, browser: Browser
) -> None:
    ann, ben = [await browser.open(name, stack.url, "/", {}) for name in ("Ann", "Ben")]
    for page, name in ((ann, "Ann"), (ben, "Ben")):
        await come_in(page, name, "aframe")
        await page.evaluate(TALK)
    for page in (ann, ben):
        await eventually(partial(hears_one, page))
        await page.evaluate("document.querySelector('audio').dataset.old = 'of a socket that will be gone'")
    status = str(await ann.evaluate("document.querySelector('#status').textContent"))
    replica, other = ("r1", "r2") if "connected to r1" in status else ("r2", "r1")
    await stack.kill(replica)
    try:
        there = f"document.querySelector('#status').textContent.includes('connected to {other}')"
        await eventually(partial(ann.evaluate, there))
        for page in (ann, ben):
            await eventually(partial(hears_one, page))
    finally:
        await stack.start_one(replica)
