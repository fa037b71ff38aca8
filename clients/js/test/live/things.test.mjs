// Things of a running stack over both replicas: `PRESENCE_URL`, and in `PRESENCE_SPACE` a space that nobody else is in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, guest } from '../../dist/index.js';
import { heard, until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const RACES = Number(process.env.PRESENCE_RACES ?? 200);
const CONTENDERS = 4;

const shown = ({ things }) => [...things]
  .map(({ id, version, state, holder }) => ({ id, version, state: { ...state }, holder }))
  .sort((a, b) => (a.id < b.id ? -1 : 1));
const same = (spaces) => spaces.every((space) => JSON.stringify(shown(space)) === JSON.stringify(shown(spaces[0])));
const everywhere = (spaces, passes) => until(() => spaces.every(({ things }) => passes(things)));

const all = [];
const enter = async (name) => {
  const presence = await connect(url, { as: guest(name) });
  all.push(presence);
  return presence.enter(key);
};
let spaces;
before(async () => {
  spaces = [];
  for (let i = 0; i < CONTENDERS; i++) spaces.push(await enter(`Contender ${i}`));
  const replicas = new Set(spaces.map(({ me }) => me.id.split('-')[0]));
  assert.equal(replicas.size, 2, 'they are on both replicas');
});
after(() => Promise.all(all.map((presence) => presence.close())));

test('who makes a thing that is there already has the same', async () => {
  const [ann, ben] = spaces;
  const entered = heard(ben.things, 'enter', ({ id }) => id === 'lamp');
  const lamp = ann.things.make('lamp', { on: true });
  await lamp.ready;
  const [seen] = await entered;
  assert.deepEqual(seen.state, { on: true });
  const same = ben.things.make('lamp', { on: false });
  assert.equal(same, seen);
  assert.deepEqual((await same.ready).state, { on: true });
});

test('one holds, changes and releases; the others see it, and may not meanwhile', async () => {
  const [ann, ben] = spaces;
  const ball = ann.things.make('ball', { at: [0, 1, 0] });
  if (await ball.hold()) ball.set({ at: [3, 1, 0] }); // as the README writes it
  assert.ok(ball.mine);
  await everywhere(spaces, (things) => things.get('ball')?.state.at[0] === 3);
  const bens = ben.things.get('ball');
  assert.equal(bens.holder, ann.me.id);
  assert.equal(bens.mine, false);
  assert.equal(await bens.hold(), false);
  assert.equal(await bens.set({ at: [9, 9, 9] }), false);
  await ball.set({ colour: 'red' });
  assert.deepEqual(ball.state, { at: [3, 1, 0], colour: 'red' }, 'a set is true here when it resolves');
  await ball.set({ colour: null });
  assert.deepEqual(ball.state, { at: [3, 1, 0] });
  const free = heard(ben.things, 'change', ({ id, holder }) => id === 'ball' && holder === null);
  await ball.release();
  assert.equal(ball.mine, false);
  await free;
  assert.ok(await bens.hold());
  assert.equal(await ball.hold(), false);
  await bens.release();
});

test('what is set every frame is sent at the tick, the last last, and before what comes after it', async () => {
  const [ann, ben] = spaces;
  const kite = ann.things.make('kite', { x: 0 });
  assert.ok(await kite.hold());
  const { version } = kite;
  const seen = [];
  ben.things.on('change', ({ id, state }) => { if (id === 'kite') seen.push(state.x); });
  let last;
  for (let x = 1; x <= 100; x++) {
    last = kite.set({ x });
    if (x % 10 === 0) await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  const released = kite.release();
  assert.ok(await last);
  await released;
  assert.equal(kite.state.x, 100);
  await until(() => ben.things.get('kite').holder === null);
  assert.equal(ben.things.get('kite').state.x, 100);
  assert.ok(kite.version - version < 10, `${kite.version - version} changes`);
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
});

test('a change of a version that is over is refused', async () => {
  const [ann, ben] = spaces;
  const score = ann.things.make('score', { points: 0 });
  await score.ready;
  await everywhere(spaces, (things) => things.get('score'));
  const bens = ben.things.get('score');
  const { version } = bens;
  const taken = await Promise.all([score, bens].map((one) => one.set({ points: one.state.points + 1 }, { version })));
  assert.deepEqual([...taken].sort(), [false, true]);
  await everywhere(spaces, (things) => things.get('score').state.points === 1);
});

test('what may not be made is told by `ready`, and a thing that is removed is gone everywhere', async () => {
  const [ann, ben] = spaces;
  const huge = ann.things.make('huge', { text: 'x'.repeat(5000) });
  await assert.rejects(huge.ready, { code: 'invalid_input' });
  assert.ok(huge.gone);
  const vase = ann.things.make('vase');
  await vase.ready;
  await until(() => ben.things.get('vase'));
  const bens = ben.things.get('vase');
  await assert.rejects(bens.remove(), { code: 'forbidden' });
  assert.ok(await vase.remove());
  await until(() => bens.gone);
  assert.equal(ben.things.get('vase'), undefined);
  assert.equal(await bens.hold(), false);
  assert.ok(await vase.remove(), 'it is gone');
});

test('who leaves lets go, and their handles are gone', async () => {
  const [ann] = spaces;
  const visitor = await enter('Visitor');
  const cup = visitor.things.make('cup', {}, { hold: true });
  await cup.ready;
  assert.ok(cup.mine);
  await until(() => ann.things.get('cup')?.holder === visitor.me.id);
  const left = heard(visitor.things, 'leave', ({ id }) => id === 'cup');
  await visitor.leave();
  await left;
  await until(() => ann.things.get('cup').holder === null);
  await assert.rejects(cup.hold(), { code: 'left' });
});

test(`of ${CONTENDERS} who reach for a thing at once exactly one holds it, ${RACES} times, and all see the same`, async () => {
  const trophy = spaces[0].things.make('trophy');
  await trophy.ready;
  await everywhere(spaces, (things) => things.get('trophy'));
  const winners = new Set();
  for (let race = 0; race < RACES; race++) {
    const mine = spaces.map(({ things }) => things.get('trophy'));
    const held = await Promise.all(mine.map((one) => one.hold()));
    assert.equal(held.filter(Boolean).length, 1, `race ${race}: ${held}`);
    const winner = held.indexOf(true);
    winners.add(winner);
    await until(() => mine.every(({ holder }) => holder === spaces[winner].me.id));
    await mine[winner].release();
    await until(() => mine.every(({ holder }) => holder === null));
  }
  assert.ok(winners.size > 1, 'it was a race');
  spaces.push(await enter('Late'));
  await until(() => same(spaces), () => JSON.stringify(spaces.map(shown)));
});
