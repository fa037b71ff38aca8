import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crowd } from './crowd.mjs';

const PEOPLE = 500;

test('a frame with 500 people takes less than 2 ms of CPU, and makes no garbage', () => {
  const { milliseconds, bytes } = crowd(PEOPLE, 200);
  assert.ok(milliseconds < 2, `${milliseconds} ms`);
  assert.ok(bytes < 2 * PEOPLE, `${bytes} bytes: one number of each that is handed on would be ${16 * PEOPLE}`);
});
