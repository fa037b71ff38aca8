import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Clock } from './parts.mjs';

test('a clock that is stopped while it asks asks nothing more', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let asked = 0;
  let answer;
  const clock = new Clock(() => {
    asked += 1;
    return new Promise((resolve) => { answer = resolve; });
  });
  const setting = clock.set();
  clock.stop();
  answer({ time: 0, took: 1 });
  await setting;
  mock.timers.tick(10 * 60_000);
  assert.equal(asked, 1);
  mock.timers.reset();
});
