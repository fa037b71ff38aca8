"""Voice by the library in Chromium: who hears whom, from where, how loud, and whose screen is seen."""

import json
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from deploy.local.stack import Stack
from tests.e2e.test_voice import paths_reported
from tests.support.browser import Browser, Page
from tests.support.library import PAGE, page, readme
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(600)  # where Chromium is to be installed first

# `enter(space, name)`; then `heard()` says the loudness at each ear over a quarter of a second, and `noise()` is a
# stream that is equally loud all the time.
MODULE = """
import { connect, guest } from '@dlux/presence';
import '@dlux/presence/voice';

const context = new AudioContext({ sampleRate: 48000 });
const output = context.createGain();
output.channelCount = 2; output.channelCountMode = 'explicit';
const split = context.createChannelSplitter(2);
output.connect(split);
const ears = [0, 1].map((ear) => {
  const analyser = new AnalyserNode(context, { fftSize: 16384 });
  split.connect(analyser, ear);
  return analyser;
});
window.heard = () => ears.map((analyser) => {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
});
window.noise = () => {
  const buffer = context.createBuffer(1, 48000, 48000);
  const samples = buffer.getChannelData(0);
  for (let i = 0, seed = 1; i < samples.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    samples[i] = (seed / 2 ** 31 - 1) * 0.5;
  }
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  const end = context.createMediaStreamDestination();
  source.connect(end);
  source.start();
  return end.stream;
};
window.enter = async (key, name) => {
  const presence = await connect(location.origin, { as: guest(name) });
  window.space = await presence.enter(key);
  window.screens = new Map();
  space.voice.on('hear', ({ name }, isHeard) => { if (!isHeard) silenced.push(name); });
  space.voice.on('screen', ({ name }, screen) => (screen ? screens.set(name, screen) : screens.delete(name)));
};
window.talk = async (options = {}) => { await space.voice.start({ output, ...options }); };
window.silenced = [];
window.hears = () => [...space.people].filter((person) => space.voice.hears(person)).map(({ name }) => name).sort();
window.ready = true;
"""


HERE = 8.0  # metres along z


async def come_in(browser: Browser, stack: Stack, hall: str, names: Sequence[str]) -> list[Page]:
    pages = []
    for name in names:
        opened = await browser.open(f"{hall} {name}", stack.url, PAGE, page(MODULE))
        await eventually(partial(opened.evaluate, "window.ready"))
        await opened.evaluate(f"enter('event:{hall}', '{name}')")
        pages.append(opened)
    return pages


async def hears(listener: Page, *names: str) -> None:
    wanted = sorted(f"{name} (guest)" for name in names)
    await eventually(partial(_is, listener, "hears()", wanted))


async def _is(page: Page, code: str, wanted: Any) -> bool:
    return bool(await page.evaluate(code) == wanted)


async def sounds(listener: Page) -> list[float]:
    """Waits until something is heard; returns how loud at the left and right ear."""
    await touch(listener)
    return list(await eventually(partial(listener.evaluate, "heard().some((level) => level > 1e-4) && heard()")))


async def touch(page: Page) -> None:
    """Presses a key, as somebody does before their browser lets a page sound."""
    await page.hold_key("a", until="space.voice.audible")


def decibels(level: float, than: float) -> float:
    return 20 * math.log10(level / than)


@pytest.mark.parametrize("relay", [False, True], ids=["direct", "relayed"])
async def test_people_hear_each_other_and_a_listener_without_a_microphone_hears_them(
    stack: Stack, browser: Browser, relay: bool
) -> None:
    before = await paths_reported(stack, "event")
    ann, ben, cem = await come_in(browser, stack, f"library-voice-{relay}", ["Ann", "Ben", "Cem"])
    options = {"relay": relay}
    for speaker in (ann, ben):
        await speaker.evaluate(f"talk({json.dumps(options)})")
    await cem.evaluate(f"talk({json.dumps({**options, 'microphone': False})})")
    await hears(ann, "Ben")
    await hears(ben, "Ann")
    await hears(cem, "Ann", "Ben")
    for each in (ann, ben, cem):
        await sounds(each)
    states = "[...space.people].map(({ name, voice }) => [name, voice.enabled, voice.muted]).sort()"
    assert await ann.evaluate(states) == [["Ben (guest)", True, False], ["Cem (guest)", True, True]]

    async def all_reported() -> list[str] | None:
        reported = list((await paths_reported(stack, "event") - before).elements())
        return reported if len(reported) == 6 else None

    assert (set(await eventually(all_reported)) == {"relay"}) is relay

    await ben.evaluate("space.voice.mute()")
    muted = "[...space.people].find(({ name }) => name.startsWith('Ben')).voice.muted"
    await eventually(partial(ann.evaluate, muted))
    await ben.evaluate("space.voice.stop()")
    await hears(ann)
    await hears(cem, "Ann")
    for each in (ann, ben, cem):
        assert not [line for line in await each.log() if line.startswith(("uncaught", "error"))], await each.log()


async def test_a_voice_comes_from_where_its_speaker_is(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-places", ["Ann", "Ben"])
    await ann.evaluate(f"space.me.move({{ position: {{ x: 0, y: 1.6, z: {HERE} }} }})")
    ears = f"{{ position: {{ x: 0, y: 1.6, z: {HERE} }}, rotation: {{ x: 0, y: 0, z: 0 }} }}"
    await ben.evaluate("talk({ microphone: noise() })")
    await touch(ben)
    await ann.evaluate(f"window.ears = {ears}; talk({{ ears, microphone: false }})")
    await hears(ann, "Ben")
    await touch(ann)

    async def loudness(x: float, ahead: float) -> list[float]:
        z = HERE - ahead
        await ben.evaluate(f"space.me.move({{ position: {{ x: {x}, y: 1.6, z: {z} }} }})")
        there = f"[...space.people].some(({{ pose }}) => Math.hypot(pose.x - {x}, pose.z - {z}) < 0.01)"
        await eventually(partial(ann.evaluate, there))
        # The graph needs a few blocks until it has crossed over, and the analyser a third of a second to be full of it.
        settled = """new Promise((resolve) => {
          const until = performance.now() + 600;
          const look = () => (performance.now() > until ? resolve(heard()) : setTimeout(look, 20));
          look();
        })"""
        levels = [await ann.evaluate(settled) for _ in range(3)]
        return [sorted(level[ear] for level in levels)[1] for ear in (0, 1)]

    left, right = await loudness(2, 0)
    assert decibels(right, left) >= 4, (left, right)
    left, right = await loudness(-2, 0)
    assert decibels(left, right) >= 4, (left, right)
    near = sum(await loudness(0, 1))
    far = sum(await loudness(0, 20))
    assert far > 0
    assert decibels(far, near) <= -25, (far, near)

    await loudness(2, 0)
    await ann.evaluate("ears.rotation.y = 180")  # turned round: what was right is left
    left, right = await loudness(2, 0)
    assert decibels(left, right) >= 4, (left, right)
    await ann.evaluate("space.voice.ears = undefined")
    left, right = await loudness(2, 0)
    assert abs(decibels(left, right)) < 0.5, "without ears all are as near as each other"


async def test_a_page_that_nobody_touched_is_silent_and_sounds_once_somebody_did(
    stack: Stack, browser: Browser
) -> None:
    alone = """
      await enter('event:library-silent', 'Ann');
      space.voice.on('change', () => console.log(`audible ${space.voice.audible}`));
      await space.voice.start({ microphone: false });
    """
    opened = await browser.open("silent", stack.url, PAGE, page(MODULE + alone))

    async def told() -> list[str]:
        return [line for line in await opened.log() if "audible" in line]

    await eventually(told)  # asking the page itself would count as a touch
    await opened.hold_key("a", until="space.voice.audible")
    lines = await told()
    assert (lines[0], lines[-1]) == ("log: audible false", "log: audible true")


async def test_a_screen_is_seen_with_its_sound_until_it_is_over(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-screens", ["Ann", "Ben"])
    for each in (ann, ben):
        await each.evaluate("talk({ microphone: false })")
        await touch(each)
    drawn = """(async () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
      const pen = canvas.getContext('2d');
      setInterval(() => { pen.fillStyle = 'rgb(255, 0, 0)'; pen.fillRect(0, 0, 64, 48); }, 30);
      const stream = canvas.captureStream(30);
      stream.addTrack(noise().getAudioTracks()[0]);
      await space.voice.share(stream);
    })()"""
    await ann.evaluate(drawn)
    await ben.evaluate("space.voice.share()")  # one that the browser gives; both at once
    await eventually(partial(ben.evaluate, "screens.get('Ann (guest)')?.getTracks().length === 2"))
    await eventually(partial(ann.evaluate, "screens.get('Ben (guest)')?.getVideoTracks().length === 1"))
    colour = """(async () => {
      const video = document.createElement('video');
      Object.assign(video, { muted: true, srcObject: screens.get('Ann (guest)') });
      await video.play();
      const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
      canvas.getContext('2d').drawImage(video, 0, 0, 64, 48);
      return [...canvas.getContext('2d').getImageData(32, 24, 1, 1).data];
    })()"""
    red, green, blue, _ = await ben.evaluate(colour)
    assert red > max(180, 2 * green, 2 * blue), (red, green, blue)
    sound = """(() => {
      window.shown ??= new MediaStream(screens.get('Ann (guest)').getAudioTracks());
      window.analyser ??= context_();
      const samples = new Float32Array(2048);
      window.analyser.getFloatTimeDomainData(samples);
      return samples.some((sample) => Math.abs(sample) > 0.01);
    })()"""
    await ben.evaluate("""window.context_ = () => {
      const context = new AudioContext();
      Object.assign(new Audio(), { muted: true, srcObject: window.shown }).play();
      const analyser = new AnalyserNode(context);
      context.createMediaStreamSource(window.shown).connect(analyser);
      return analyser;
    }""")
    await eventually(partial(ben.evaluate, sound))

    await ann.evaluate("space.voice.unshare()")
    await eventually(partial(ben.evaluate, "screens.size === 0"))
    assert await ann.evaluate("screens.size === 1"), "the other's goes on"
    await ben.evaluate("space.voice.screen.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    await eventually(partial(ann.evaluate, "screens.size === 0"))


async def test_voices_are_back_after_the_replica_of_one_was_killed(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-voice-killed", ["Ann", "Ben"])
    for each in (ann, ben):
        await each.evaluate("talk()")
    await hears(ann, "Ben")
    await hears(ben, "Ann")
    replica = str(await ann.evaluate("space.me.id")).split("-")[0]
    former = await ann.evaluate("space.me.id")
    await stack.kill(replica)
    try:
        await eventually(partial(ann.evaluate, f"space.state === 'live' && space.me.id !== '{former}'"))
        await eventually(partial(ben.evaluate, f"!space.people.get('{former}')"))
        await hears(ann, "Ben")
        await hears(ben, "Ann")
    finally:
        await stack.start_one(replica)


async def test_the_lines_of_the_librarys_readme_for_pages_run(stack: Stack, browser: Browser) -> None:
    lines = "\n".join(readme("js page")).replace("http://localhost:8080", stack.url)
    around = """
      const camera = { position: { x: 0, y: 1.6, z: 0 }, rotation: { x: 0, y: 0, z: 0 } };
      const mark = () => {}, show = () => {};
    """
    opened = await browser.open("readme", stack.url, PAGE, page(f"{around}{lines}\nconsole.log('to the end');"))

    async def ended() -> bool:
        return "log: to the end" in await opened.log()

    await eventually(ended)


async def test_voices_through_the_relay_are_back_after_it_was_killed(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-relay-killed", ["Ann", "Ben"])
    await ben.evaluate("talk({ microphone: noise(), relay: true })")
    await ann.evaluate("talk({ microphone: false, relay: true })")
    await touch(ben)
    await sounds(ann)
    await stack.kill("coturn")
    try:
        await eventually(partial(ann.evaluate, "heard().every((level) => level === 0)"))
    finally:
        await stack.start_one("coturn")
    await sounds(ann)


MICROPHONES = """(() => {
  window.microphones = [];
  const { mediaDevices } = navigator;
  const get = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (wanted) => {
    const stream = await get(wanted);
    window.microphones.push(...stream.getTracks());
    return stream;
  };
})()"""


async def test_of_who_leaves_it_is_told_that_they_are_heard_and_seen_no_more(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-leaver", ["Ann", "Ben"])
    for each in (ann, ben):
        await each.evaluate("talk({ microphone: noise() })")
        await touch(each)
    await hears(ann, "Ben")
    await ben.evaluate("space.voice.share(document.createElement('canvas').captureStream(5))")
    await eventually(partial(ann.evaluate, "screens.size === 1"))
    await ben.evaluate("space.leave()")
    await eventually(partial(ann.evaluate, "screens.size === 0"))
    assert await ann.evaluate("silenced") == ["Ben (guest)"]


PROMPT = """(() => {
  const { mediaDevices } = navigator;
  mediaDevices.getUserMedia = () => new Promise((resolve) => setTimeout(() => resolve(noise()), 2500));
})()"""


async def test_who_mutes_while_the_browser_asks_for_the_microphone_is_heard_once_they_speak(
    stack: Stack, browser: Browser
) -> None:
    """The prompt is open longer than the server takes to name who takes part."""
    ann, ben = await come_in(browser, stack, "library-muted", ["Ann", "Ben"])
    for each in (ann, ben):  # either calls the other, by their ids
        await each.evaluate(PROMPT)
        await each.evaluate("Promise.all([talk(), space.voice.mute()])")
        await touch(each)
    await hears(ann, "Ben")
    await hears(ben, "Ann")
    for speaker in (ann, ben):
        await speaker.evaluate("space.voice.mute(false)")
    assert max(await sounds(ann)) > 0
    assert max(await sounds(ben)) > 0


async def test_who_begins_twice_is_heard_and_has_one_microphone_open(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-twice", ["Ann", "Ben"])
    for each in (ann, ben):
        await each.evaluate(MICROPHONES)
        await each.evaluate("talk()")
        await touch(each)
    await hears(ann, "Ben")
    await hears(ben, "Ann")
    for each in (ann, ben):
        await each.evaluate("void talk(), talk()")
        assert await each.evaluate("microphones.length") == 3
        assert await each.evaluate("microphones.filter(({ readyState }) => readyState === 'live').length") == 1
        await touch(each)
        await hears(ann, "Ben")
        await hears(ben, "Ann")


async def test_an_offer_that_nobody_answered_is_made_again(stack: Stack, browser: Browser) -> None:
    ann, ben = await come_in(browser, stack, "library-unanswered", ["Ann", "Ben"])
    deaf = """(() => {
      const { link } = space;
      const send = link.send.bind(link);
      link.send = (event, payload) => (event === 'webrtc-answer' ? void (link.send = send) : send(event, payload));
    })()"""
    for each in (ann, ben):
        await each.evaluate(deaf)
        await each.evaluate("talk({ microphone: noise() })")
    await hears(ann, "Ben")
    await hears(ben, "Ann")


async def test_who_loads_the_page_again_while_they_talk_is_heard_again(stack: Stack, browser: Browser) -> None:
    hall = "library-reload"
    ann, ben = await come_in(browser, stack, hall, ["Ann", "Ben"])
    for speaker in (ann, ben):
        await speaker.evaluate("talk({ microphone: noise() })")
        await touch(speaker)
    await hears(ann, "Ben")
    for page_again, other, name in ((ann, ben, "Ann"), (ben, ann, "Ben")):  # either calls the other, by their ids
        await page_again.reload()
        await eventually(partial(page_again.evaluate, "window.ready"))
        await page_again.evaluate(f"enter('event:{hall}', '{name}')")
        off = f"[...space.people].some((person) => person.name.startsWith('{name}') && person.voice?.enabled === false)"
        await eventually(partial(other.evaluate, off))
        await page_again.evaluate("talk({ microphone: noise() })")
        await touch(page_again)
        await hears(other, name)
        await hears(page_again, "Ben" if name == "Ann" else "Ann")
