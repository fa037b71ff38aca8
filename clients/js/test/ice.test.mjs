import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Ice } from './parts.mjs';

const settle = () => new Promise((resolve) => { setImmediate(resolve); });

test('credentials are renewed when half of their life is over, sooner where they could not be got, and not after the end', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  let asked = 0;
  let isAway = false;
  let renewed = 0;
  const server = {
    ask: async () => {
      asked += 1;
      if (isAway) throw new Error('away');
      return { iceServers: [{ urls: `turn:${asked}` }], ttl: 600 };
    },
  };
  const ice = new Ice(server, () => { renewed += 1; });
  await ice.start();
  assert.deepEqual([asked, ice.servers[0].urls], [1, 'turn:1']);
  mock.timers.tick(299_000);
  await settle();
  assert.equal(asked, 1);
  isAway = true;
  mock.timers.tick(1_000);
  await settle();
  assert.deepEqual([asked, ice.servers[0].urls], [2, 'turn:1'], 'what is there stays');
  isAway = false;
  mock.timers.tick(5_000);
  await settle();
  assert.deepEqual([asked, renewed, ice.servers[0].urls], [3, 2, 'turn:3']);
  ice.stop();
  mock.timers.tick(600_000);
  await settle();
  assert.equal(asked, 3);
});
