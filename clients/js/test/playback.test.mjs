// Poses on the server's clock: what a walker's viewers see while packets come late.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Playback, Pose } from './parts.mjs';
import { SPEED, TICK, walk } from './walker.mjs';

test('a walker is shown within 5 cm of the true path, at most 120 ms behind, and never goes backwards', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const { metres, behind, backwards } = walk(60, seed);
    assert.ok(metres <= 0.05, `${metres} m off`);
    assert.ok(behind <= 120, `${behind} ms behind`);
    assert.equal(backwards, 0);
  }
});

test('somebody who stands still while others move on stays where they stopped', () => {
  const playback = new Playback();
  const pose = new Pose();
  for (let t = 0; t <= 2000; t += TICK) {
    playback.arrived(t, t + 10);
    if (t <= 1000) pose.put(t, { x: (SPEED * t) / 1000, y: 0, z: 0 }, undefined);
    playback.frame(t + 10);
    pose.advance(playback);
    assert.ok(pose.x <= SPEED + 1e-9, `${pose.x} at ${t}`);
  }
  assert.ok(Math.abs(pose.x - SPEED) < 1e-3);
});

test('a turn goes the shorter way round', () => {
  const pose = new Pose();
  pose.put(0, { x: 0, y: 0, z: 0 }, { x: 0, y: 350, z: 0 });
  pose.put(50, { x: 0, y: 0, z: 0 }, { x: 0, y: 10, z: 0 });
  pose.advance({ t: 25, newest: 50 });
  const target = { position: { x: 1, y: 1, z: 1 }, rotation: { x: 0, y: 0, z: 0 } };
  pose.into(target);
  assert.ok(Math.abs(target.rotation.y) < 1e-6, target.rotation.y);
  assert.deepEqual(target.position, { x: 0, y: 0, z: 0 });
});

test('a teleport is a step, not a flight', () => {
  const pose = new Pose();
  pose.put(0, { x: 0, y: 0, z: 0 }, undefined);
  pose.put(50, { x: 100, y: 0, z: 0 }, undefined);
  pose.advance({ t: 40, newest: 50 });
  assert.equal(pose.x, 0);
  pose.advance({ t: 50, newest: 50 });
  assert.equal(pose.x, 100);
});
