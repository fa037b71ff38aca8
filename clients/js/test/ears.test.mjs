import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen } from './parts.mjs';

const heard = (ears) => {
  const out = new Float64Array(9);
  listen(ears, out);
  return [...out].map((value) => Math.round(value * 1000) / 1000 + 0);
};
const AHEAD = [0, 0, -1];
const UP = [0, 1, 0];

test('ears are where an object, an element or a camera is, and look where it looks', () => {
  assert.deepEqual(heard({ position: { x: 1, y: 2, z: 3 } }), [1, 2, 3, ...AHEAD, ...UP]);
  assert.deepEqual(heard({ position: { x: 0, y: 0, z: 0 }, rotation: { x: 0, y: 90, z: 0 } }), [0, 0, 0, -1, 0, 0, ...UP]);
  assert.deepEqual(heard({ rotation: { x: 90, y: 0, z: 0 } }), [0, 0, 0, 0, 1, 0, 0, 0, 1]);
  const half = Math.SQRT1_2;
  assert.deepEqual(heard({ object3D: { quaternion: { x: 0, y: half, z: 0, w: half } } }), [0, 0, 0, -1, 0, 0, ...UP]);
  const turnedLeft = [0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 4, 5, 6, 1]; // column by column
  assert.deepEqual(heard({ matrixWorld: { elements: turnedLeft }, position: { x: 9, y: 9, z: 9 } }), [4, 5, 6, -1, 0, 0, ...UP]);
});
