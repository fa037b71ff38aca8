"""The library's components in A-Frame 1.8 in Chromium: the scene of its README, by two people."""

from functools import partial

import pytest

from deploy.local.guardian import REPOSITORY
from deploy.local.stack import Stack
from tests.support.browser import Browser, Page, script, text
from tests.support.library import PAGE, built, readme
from tests.support.waiting import eventually

AFRAME = REPOSITORY / "node_modules" / "aframe" / "dist" / "aframe-v1.8.0.min.js"
HEAD = "<!doctype html><meta charset='utf-8'><script>AFRAME_CDN_ROOT = '/models/';</script>"
AVATAR = "document.querySelector('[presence-avatar]')"
HAND = "[...document.querySelectorAll('[presence-hand]')].find((el) => el.getAttribute('presence-hand').person)"
BALL = "document.querySelector('#ball').object3D.position"


def near(place: str, x: float, y: float, z: float, within: float = 0.02) -> str:
    return f"Math.hypot({place}.x - {x}, {place}.y - {y}, {place}.z - {z}) < {within}"


async def open_scene(browser: Browser, stack: Stack, name: str) -> Page:
    [scene] = readme("html")
    for read, meant in {
        "http://localhost:8080": stack.url,
        "post:bob/sculpture-hall": "event:library-scene",
        "name: Ann": f"name: {name}",
    }.items():
        assert read in scene
        scene = scene.replace(read, meant)
    files = {
        PAGE: text("text/html", HEAD + scene),
        "/aframe.min.js": script(AFRAME),
        "/presence-aframe.min.js": script(built() / "presence-aframe.min.js"),
    }
    opened = await browser.open(name, stack.url, PAGE, files)
    live = "document.querySelector('a-scene').components?.presence?.space?.state === 'live'"
    await eventually(partial(opened.evaluate, live))
    return opened


@pytest.mark.timeout(600)
async def test_in_the_readmes_scene_people_see_each_others_heads_hands_and_what_they_throw(
    stack: Stack, browser: Browser
) -> None:
    ann, ben = [await open_scene(browser, stack, name) for name in ("Ann", "Ben")]
    for each, other in ((ann, "Ben"), (ben, "Ann")):
        await eventually(partial(each.evaluate, f"{AVATAR}?.dataset.name === '{other} (guest)'"))
    await ann.evaluate("document.querySelector('#rig').object3D.position.set(2, 0, -3)")
    await ann.evaluate("document.querySelector('#rig').object3D.rotation.y = Math.PI / 2")
    await eventually(partial(ben.evaluate, near(f"{AVATAR}.object3D.position", 2, 1.6, -3)))
    head = f"{AVATAR}.getObject3D('figure').children[0]"
    await eventually(partial(ben.evaluate, f"Math.abs({head}.quaternion.y - Math.SQRT1_2) < 0.01"))

    await ann.evaluate("document.querySelector('#left').object3D.visible = true")
    await ann.evaluate("document.querySelector('#left').object3D.position.set(0, 1, -1)")  # in the rig, turned with it
    await eventually(partial(ben.evaluate, near(f"{HAND}.object3D.position", 1, 1, -3)))
    assert await ben.evaluate(f"{HAND}.object3D.visible")

    for each in (ann, ben):  # both know the ball before anybody throws it
        thing = "DluxPresence.sharedEntity(ball)?.thing"
        await eventually(partial(each.evaluate, f"{thing}?.version > 0"))
    await ann.evaluate("throwIt()")
    await eventually(partial(ben.evaluate, near(BALL, 3, 1, 0)))
    assert await ben.evaluate("DluxPresence.sharedEntity(ball).hold()"), "who threw it has let go"
    assert not await ann.evaluate("DluxPresence.sharedEntity(ball).hold()")
    await ben.evaluate(f"{BALL}.set(0, 2, 0)")
    await eventually(partial(ann.evaluate, near(BALL, 0, 2, 0)))

    spatial = "document.querySelector('a-scene').components.presence.space.voice"
    heard = (
        f"[...document.querySelector('a-scene').components.presence.space.people].some((one) => {spatial}.hears(one))"
    )
    for each in (ann, ben):
        await eventually(partial(each.evaluate, heard))

    await ben.evaluate("document.querySelector('a-scene').removeAttribute('presence')")
    await eventually(partial(ann.evaluate, f"!{AVATAR} && !{HAND}"))
    for each in (ann, ben):
        assert not [line for line in await each.log() if line.startswith("uncaught")], await each.log()
