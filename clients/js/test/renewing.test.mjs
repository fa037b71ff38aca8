import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PresenceError, Renewing, Store } from './parts.mjs';

// A storage that two tabs share.
const storage = () => {
  const values = new Map();
  return { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value), removeItem: (key) => values.delete(key) };
};

const source = (answers) => {
  let number = 0;
  const asked = [];
  return {
    asked, account: 'alice',
    first: async () => ({ token: 't0', refresh: 'r0' }),
    next: async (kept) => {
      asked.push(kept.refresh);
      if (answers) throw answers;
      number += 1;
      return { token: `t${number}`, refresh: `r${number}` };
    },
    end: async () => {},
  };
};

test('of two tabs one renews, and the other reads what it got', async () => {
  const shared = new Store(storage(), 'login');
  const server = source();
  const one = new Renewing(server, shared);
  assert.equal(await one.token(), 't0');
  const other = new Renewing(server, shared);
  assert.equal(await other.token(), 't0');
  assert.equal(await one.renew('t0'), 't1');
  assert.equal(await other.renew('t0'), 't1');
  assert.deepEqual(server.asked, ['r0']);
});

test('however many ask at once, one question is asked', async () => {
  const server = source();
  const login = new Renewing(server, new Store(storage(), 'login'));
  await login.token();
  assert.deepEqual(await Promise.all([login.renew('t0'), login.renew('t0')]), ['t1', 't1']);
  assert.deepEqual(server.asked, ['r0']);
});

test('a login is over when the server says so, and only then', async () => {
  const away = new Renewing(source(new PresenceError('unavailable')), new Store(storage(), 'login'));
  await away.token();
  await assert.rejects(away.renew('t0'), { code: 'unavailable' });
  assert.equal(await away.token(), 't0');
  const over = new Renewing(source(new PresenceError('unauthorized')), new Store(storage(), 'login'));
  await over.token();
  await assert.rejects(over.renew('t0'), { code: 'session_expired' });
  await assert.rejects(over.token(), { code: 'session_expired' });
});
