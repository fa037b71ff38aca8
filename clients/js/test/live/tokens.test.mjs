// Tokens that run out: `PRESENCE_TOKENS` are three of alice's, of which the first two live for `PRESENCE_SECONDS`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, token } from '../../dist/index.js';
import { until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key, PRESENCE_TOKENS: given, PRESENCE_SECONDS: life } = process.env;
const [short, alsoShort, long] = given.split(' ');
const over = Date.now() + (Number(life) + 1) * 1000;
const isOver = () => until(() => Date.now() > over);

// A login as an application may bring it: `renewed` gives the next token to whoever listens.
const login = (tokens) => {
  const listeners = new Set();
  const asked = [];
  return {
    asked,
    renewed: (next) => { for (const listener of listeners) listener(next); },
    as: () => ({
      account: 'alice',
      token: async () => tokens[0],
      renew: async (refused) => {
        asked.push(refused);
        if (tokens.length > 1) tokens.shift();
        return tokens[0];
      },
      onRenewed: (listener) => { listeners.add(listener); return () => listeners.delete(listener); },
      end: async () => {},
      close: () => {},
    }),
  };
};
const enter = async (as, part) => {
  const presence = await connect(url, { as });
  const space = await presence.enter(`${key}:${part}`);
  const states = [];
  space.on('state', (state, reason) => states.push(reason ? `${state}: ${reason.code}` : state));
  return { presence, space, states, id: space.me.id };
};

test('a token that runs out is renewed once, a new one reaches the open connection before, and a login that is over is the end', async (t) => {
  const renewing = login([short, long]);
  const told = login([alsoShort]);
  const ending = login([short, short]);
  let calls = 0;
  const asking = token(async () => (calls++ === 0 ? short : long));
  const all = await Promise.all([
    enter(renewing.as, 'renewing'), enter(told.as, 'told'), enter(ending.as, 'ending'), enter(asking, 'asking'),
  ]);
  t.after(() => Promise.all(all.map(({ presence }) => presence.close())));
  const [renewed, refreshed, ended, asked] = all;
  told.renewed(long);
  await isOver();
  await until(() => ended.space.state === 'out');
  await until(() => renewed.space.state === 'live' && renewed.states.includes('away') && asked.space.state === 'live' && asked.states.includes('away'));

  assert.deepEqual(renewing.asked, [short], 'once');
  assert.deepEqual(renewed.states, ['away', 'catching up', 'live']);
  assert.equal(calls, 2);
  assert.deepEqual(ending.asked, [short], 'once, although the next is no better');
  assert.deepEqual([ended.states.at(-1), ended.space.reason.code], ['out: session_expired', 'session_expired']);
  await assert.rejects(ended.space.chat.say('Still here?'), { code: 'session_expired' });
  assert.deepEqual([refreshed.states, refreshed.space.me.id], [[], refreshed.id], 'the connection goes on as it was');
  assert.equal((await refreshed.space.chat.say('Still here')).user_account, 'alice');
});
