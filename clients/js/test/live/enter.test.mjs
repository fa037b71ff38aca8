// Two people in one space of a running stack: `PRESENCE_URL`, and in `PRESENCE_SPACE` a space that nobody else is in.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { PresenceError, connect, guest, keychain, token } from '../../dist/index.js';
import { heard } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key, PRESENCE_PYTHON: python } = process.env;
const sign = async (challenge, account) => execFileSync(python, ['-m', 'deploy.local.sign', account, '--challenge', challenge]).toString().trim();
const frames = async (space, passes) => {
  for (;;) {
    let found = null;
    space.people.each((person) => { if (passes(person)) found = person; });
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
};

let ann;
let alice;
let hall;
let hers;
before(async () => {
  ann = await connect(url, { as: guest('Ann') });
  alice = await connect(url, { as: keychain('alice', { sign }) });
  hall = await ann.enter(key);
  hers = await alice.enter(key);
});
after(() => Promise.all([ann?.close(), alice?.close()]));

test('who is proven is who they are, and a guest is marked as one', () => {
  assert.equal(alice.account, 'alice');
  assert.equal(hers.me.account, 'alice');
  assert.equal(ann.account, null);
  assert.match(hall.me.name, /^Ann/);
  assert.equal(hall.state, 'live');
});

test('a listener hears of those who are here, of who comes, and of who leaves', async () => {
  const [person] = await heard(hers.people, 'enter', ({ name }) => name.startsWith('Ann'));
  assert.ok(person.guest);
  const third = await connect(url, { as: guest('Third') });
  const coming = heard(hall.people, 'enter', ({ name }) => name.startsWith('Third'));
  const place = await third.enter(key);
  const [came] = await coming;
  const leaving = heard(hall.people, 'leave', ({ id }) => id === came.id);
  await place.leave();
  assert.equal((await leaving)[1].reason, 'left');
  await third.close();
});

test('what one moves is where the others see it', async () => {
  hall.me.move({ position: { x: 2, y: 1.6, z: -3 }, rotation: { x: 0, y: 90, z: 0 } });
  const person = await frames(hers, ({ pose }) => Math.abs(pose.x - 2) < 0.01 && Math.abs(pose.z + 3) < 0.01);
  const object = { position: { x: 0, y: 0, z: 0 }, rotation: { x: 0, y: 0, z: 0 } };
  person.pose.into(object);
  assert.ok(Math.abs(object.rotation.y - 90) < 1, object.rotation.y);
});

test('what is said is stored once, answered, changed, taken back, and everybody sees it', async () => {
  const hello = await hall.chat.say('Hello');
  const [seen] = await heard(hers.chat, 'message', ({ id }) => id === hello.id);
  assert.equal(seen.content, 'Hello');
  const again = await hers.chat.say('Once', { key: 'the-same' });
  assert.equal((await hers.chat.say('Once', { key: 'the-same' })).id, again.id);
  const reply = await hers.chat.say('Hello Ann', { to: hello });
  assert.equal(reply.parent_message_id, hello.id);
  assert.deepEqual((await hall.chat.thread(hello)).messages.map(({ id }) => id), [reply.id]);
  const reacted = heard(hall.chat, 'change', ({ reactions }) => reactions['👍']?.count === 1);
  await hers.chat.react(hello, '👍');
  await reacted;
  const edited = heard(hers.chat, 'change', ({ id, content }) => id === hello.id && content === 'Hello all');
  await hall.chat.edit(hello, 'Hello all');
  await edited;
  const deleted = heard(hers.chat, 'change', ({ id, is_deleted }) => id === hello.id && is_deleted);
  await hall.chat.delete(hello);
  await deleted;
});

test('who asks what is unread is told, and reading changes it', async () => {
  await hall.chat.say('Unread');
  assert.ok((await hers.chat.subscription()).unread >= 1);
  const newest = hall.chat.messages.at(-1);
  if (!hers.chat.messages.some(({ id }) => id === newest.id)) await heard(hers.chat, 'message', ({ id }) => id === newest.id);
  await hers.chat.read(newest);
  assert.equal(hers.chat.unread, 0);
});

test('who is kicked is out, with the reason, and does not come back', async () => {
  const owned = await alice.enter('post:alice/my-360-photo');
  const unruly = await connect(url, { as: guest('Unruly') });
  const space = await unruly.enter('post:alice/my-360-photo');
  const [person] = await heard(owned.people, 'enter', ({ id }) => id === space.me.id);
  const over = heard(space, 'state', (state) => state === 'out');
  const gone = heard(owned.people, 'leave', ({ id }) => id === person.id);
  await owned.moderation.kick(person, 'Too loud.');
  assert.equal((await over)[1].code, 'kicked');
  assert.equal((await gone)[1].reason, 'kicked');
  await assert.rejects(space.chat.say('Still here?'), { code: 'kicked' });
  await unruly.close();
  await owned.leave();
});

test('content, spaces and the clock are the server\'s', async () => {
  assert.ok((await hall.content()).title);
  assert.ok((await ann.spaces({ limit: 3 })).spaces.length);
  assert.ok(Math.abs(ann.now() - Date.now()) < 1000);
});

test('a refusal is a PresenceError with its code', async () => {
  await assert.rejects(ann.enter('post:nobody/nothing'), (error) => error instanceof PresenceError && error.code === 'not_found');
  await assert.rejects(ann.enter('nowhere'), { code: 'invalid_input' });
  await assert.rejects(hall.chat.edit('not-an-id', 'x'), { code: 'invalid_input' });
  const bad = await connect(url, { as: token('eyJhbGciOiJub25lIn0.e30.') });
  await assert.rejects(bad.enter(key), (error) => ['session_expired', 'unauthorized'].includes(error.code));
});
