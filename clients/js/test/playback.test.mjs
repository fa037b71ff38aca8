// Poses on the server's clock: what a walker's viewers see while packets come late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Playback, Pose } from './parts.mjs';

const TICK = 50;
const SPEED = 1.4; // metres a second
const RADIUS = 3;
const FRAME = 1000 / 72;
const SKEW = -123_456; // of the viewer's clock

const truth = (t) => ({ x: RADIUS * Math.cos((SPEED * t) / 1000 / RADIUS), y: 0, z: RADIUS * Math.sin((SPEED * t) / 1000 / RADIUS) });
const angle = ({ x, z }) => Math.atan2(z, x);

// The same numbers in each run (mulberry32).
const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

// Arrivals over one connection, in order: each 0 to 50 ms on its way, one in twenty 100 ms more.
const arrivals = (seconds, seed) => {
  const next = random(seed);
  let before = 0;
  return Array.from({ length: (seconds * 1000) / TICK }, (_, i) => {
    const t = i * TICK;
    before = Math.max(before, t + next() * 50 + (next() < 0.05 ? 100 : 0));
    return { t, at: before };
  });
};

// Calls `shown(time, pose, clock)` for each frame after the first two seconds.
const play = (coming, seconds, place, shown) => {
  const playback = new Playback();
  const pose = new Pose();
  let i = 0;
  for (let now = 0; now < seconds * 1000; now += FRAME) {
    for (; i < coming.length && coming[i].at <= now; i++) {
      playback.arrived(coming[i].t, coming[i].at + SKEW);
      pose.put(coming[i].t, place(coming[i].t), undefined);
    }
    const t = playback.frame(now + SKEW);
    pose.advance(t, playback.newest);
    if (now > 2000) shown(now, pose, t);
  }
};

test('a walker is shown within 5 cm of the true path, at most 120 ms behind, and never goes backwards', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    let farthest = 0;
    let latest = 0;
    let before = null;
    play(arrivals(60, seed), 59, truth, (now, pose, t) => {
      const real = truth(t);
      farthest = Math.max(farthest, Math.hypot(pose.x - real.x, pose.z - real.z));
      latest = Math.max(latest, now - t);
      const here = angle(pose);
      if (before !== null) {
        const step = Math.atan2(Math.sin(here - before), Math.cos(here - before));
        assert.ok(step >= -1e-9, `${step} at ${now}`);
      }
      before = here;
    });
    assert.ok(farthest <= 0.05, `${farthest} m off`);
    assert.ok(latest <= 120, `${latest} ms behind`);
  }
});

test('somebody who stands still while others move on stays where they stopped', () => {
  const playback = new Playback();
  const pose = new Pose();
  for (let t = 0; t <= 2000; t += TICK) {
    playback.arrived(t, t + 10);
    if (t <= 1000) pose.put(t, { x: (SPEED * t) / 1000, y: 0, z: 0 }, undefined);
    pose.advance(playback.frame(t + 10), playback.newest);
    assert.ok(pose.x <= SPEED + 1e-9, `${pose.x} at ${t}`);
  }
  assert.ok(Math.abs(pose.x - SPEED) < 1e-3);
});

test('a turn goes the shorter way round', () => {
  const pose = new Pose();
  pose.put(0, { x: 0, y: 0, z: 0 }, { x: 0, y: 350, z: 0 });
  pose.put(50, { x: 0, y: 0, z: 0 }, { x: 0, y: 10, z: 0 });
  pose.advance(25, 50);
  const target = { position: { x: 1, y: 1, z: 1 }, rotation: { x: 0, y: 0, z: 0 } };
  pose.into(target);
  assert.ok(Math.abs(target.rotation.y) < 1e-6, target.rotation.y);
  assert.deepEqual(target.position, { x: 0, y: 0, z: 0 });
});

test('a teleport is a step, not a flight', () => {
  const pose = new Pose();
  pose.put(0, { x: 0, y: 0, z: 0 }, undefined);
  pose.put(50, { x: 100, y: 0, z: 0 }, undefined);
  pose.advance(40, 50);
  assert.equal(pose.x, 0);
  pose.advance(50, 50);
  assert.equal(pose.x, 100);
});
