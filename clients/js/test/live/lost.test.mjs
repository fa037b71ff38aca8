// What is missed while the line is cut, and a line that lets no WebSocket through: `PRESENCE_URL`, `PRESENCE_SPACE`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, guest } from '../../dist/index.js';
import { line } from './line.mjs';
import { heard, until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const MORE_THAN_IS_SENT_AGAIN = 520; // numbers of the space; the server sends 500
const AT_ONCE = 20;

const enter = async (at, name, part) => {
  const presence = await connect(at, { as: guest(name) });
  return { presence, space: await presence.enter(`${key}:${part}`) };
};

test('who missed more than is sent again fetches all of it, in order, once, and what was changed meanwhile', async (t) => {
  const way = await line(url);
  const [ann, ben] = await Promise.all([enter(way.url, 'Ann', 'gap'), enter(url, 'Ben', 'gap')]);
  t.after(async () => {
    await Promise.all([ann.presence.close(), ben.presence.close()]);
    way.close();
  });
  const changed = await ben.space.chat.say('to be changed');
  const taken = await ben.space.chat.say('to be taken back');
  await until(() => ann.space.chat.messages.length === 2);
  const told = [];
  const changes = [];
  const states = [];
  ann.space.chat.on('message', ({ content }) => told.push(content)).on('change', ({ content }) => changes.push(content));
  ann.space.on('state', (state) => states.push(state));

  way.cut();
  await until(() => ann.space.state === 'away');
  await ben.space.chat.edit(changed, 'changed');
  await ben.space.chat.delete(taken);
  for (let i = 0; i < MORE_THAN_IS_SENT_AGAIN; i += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, j) => ben.presence.ask('POST', `/api/chat/${pathOf(key)}/messages`, {
      content: String(i + j), subspace: 'gap',
    })));
  }
  const said = await ben.space.chat.say('the last');
  const meanwhile = ann.space.chat.say('said while away');
  way.mend();
  await until(() => ann.space.state === 'live' && told.includes('said while away'));
  assert.equal((await meanwhile).content, 'said while away');

  const truth = await everything(ben.presence, 'gap');
  assert.deepEqual(told, truth.map(({ content }) => content).map((text, i) => (i === 0 ? 'to be changed' : i === 1 ? 'to be taken back' : text)));
  assert.equal(told.length, MORE_THAN_IS_SENT_AGAIN + 4);
  assert.deepEqual(ann.space.chat.messages.map(({ id, content }) => [id, content]), truth.map(({ id, content }) => [id, content]));
  assert.deepEqual(changes.slice(0, 2), ['changed', null]);
  assert.ok(ann.space.chat.messages.some(({ id }) => id === said.id));
  assert.deepEqual(states.filter((state) => state !== 'away'), ['catching up', 'live']);
});

test('where no WebSocket gets through, everything works by polling', async (t) => {
  const way = await line(url, { upgrades: false });
  const [ann, ben] = await Promise.all([enter(way.url, 'Ann', 'polling'), enter(url, 'Ben', 'polling')]);
  t.after(async () => {
    await Promise.all([ann.presence.close(), ben.presence.close()]);
    way.close();
  });
  const [message] = await Promise.all([ann.space.chat.say('by polling'), heard(ben.space.chat, 'message', ({ content }) => content === 'by polling')]);
  assert.ok(message.seq);
  ann.space.me.move({ position: { x: 3, y: 0, z: 0 } });
  ben.space.me.move({ position: { x: -3, y: 0, z: 0 } });
  const place = ({ people }) => {
    let x = NaN;
    people.each(({ pose }) => { x = pose.x; });
    return x;
  };
  await until(() => Math.abs(place(ben.space) - 3) < 0.01 && Math.abs(place(ann.space) + 3) < 0.01);
  const ball = ann.space.things.make('ball');
  assert.ok(await ball.hold());
  await until(() => ben.space.things.get('ball')?.holder === ann.space.me.id);
});

const pathOf = (space) => space.replace(':', '/');
const everything = async (presence, subspace) => {
  const found = [];
  for (let before; ;) {
    const query = new URLSearchParams({ subspace, limit: '200', ...(before ? { before } : {}) });
    const { messages } = await presence.ask('GET', `/api/chat/${pathOf(key)}/messages?${query}`);
    if (!messages.length) return found;
    found.unshift(...messages);
    before = messages[0].id;
  }
};
