// Roles, moderation, settings, notifications and typing of a running stack (`PRESENCE_URL`).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { connect, guest, keychain } from '../../dist/index.js';
import { heard, until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_PYTHON: python } = process.env;
const KEY = 'post:alice/my-360-photo:rights'; // alice owns it
const sign = async (challenge, account) => execFileSync(python, ['-m', 'deploy.local.sign', account, '--challenge', challenge]).toString().trim();

let alice;
let carol;
let gus;
let hers;
let his;
let guests;
before(async () => {
  alice = await connect(url, { as: keychain('alice', { sign }) });
  carol = await connect(url, { as: keychain('carol', { sign }) });
  gus = await connect(url, { as: guest('Gus') });
  [hers, his, guests] = await Promise.all([alice, carol, gus].map((presence) => presence.enter(KEY)));
});
after(() => Promise.all([alice, carol, gus].map((presence) => presence?.close())));
const person = (space, name) => until(() => [...space.people].find((one) => one.name.startsWith(name)));

test('the owner gives a role and takes it; others may not', async () => {
  assert.equal(hers.me.role, 'owner');
  await assert.rejects(his.roles.give('dave', 'member'), { code: 'forbidden' });
  assert.equal((await hers.roles.give('carol', 'moderator')).role, 'moderator');
  assert.ok((await hers.roles.list()).roles.some(({ account, role }) => account === 'carol' && role === 'moderator'));
  await hers.roles.take('carol');
  assert.ok(!(await hers.roles.list()).roles.some(({ account }) => account === 'carol'));
});

test('who is muted cannot speak until they are unmuted, and the audit trail says why', async () => {
  await hers.moderation.mute(await person(hers, 'Gus'), 'Too loud.');
  await until(() => guests.chat.say('Can you hear me?').then(() => false, ({ code }) => code === 'muted'));
  await hers.moderation.unmute({ guest_id: (await gus.ask('GET', '/api/auth/me')).guest_id }, 'Better now.');
  await until(() => guests.chat.say('And now?').then(() => true, () => false));
  const { entries } = await hers.moderation.audit();
  assert.ok(entries.some(({ reason }) => reason === 'Too loud.'), JSON.stringify(entries));
});

test('who is banned is out, stays out, and is let in again once the ban is lifted', async () => {
  const { guest_id } = await gus.ask('GET', '/api/auth/me');
  const out = heard(guests, 'state', (state) => state === 'out');
  await hers.moderation.ban(await person(hers, 'Gus'), 'Enough.');
  assert.equal((await out)[1].code, 'banned');
  await assert.rejects(gus.enter(KEY), { code: 'banned' });
  assert.ok((await hers.moderation.bans()).bans.some(({ reason }) => reason === 'Enough.'));
  await hers.moderation.unban({ guest_id }, 'Forgiven.');
  guests = await gus.enter(KEY);
  assert.equal(guests.state, 'live');
});

test('settings that the owner changes reach everybody', async () => {
  const told = heard(his, 'settings', ({ slow_mode_seconds }) => slow_mode_seconds === 1);
  await hers.change({ slow_mode_seconds: 1 });
  await told;
  assert.equal(his.settings.slow_mode_seconds, 1);
  await hers.change({ slow_mode_seconds: 0 });
  await assert.rejects(his.change({ slow_mode_seconds: 5 }), { code: 'forbidden' });
});

test('who is named is told at once, and finds it among their notifications until it is read', async () => {
  const mentioned = heard(carol, 'mention', ({ by }) => by === 'alice');
  const message = await hers.chat.say('Look at this, @carol');
  const [mention] = await mentioned;
  assert.deepEqual([mention.kind, mention.message_id], ['mention', message.id]);
  const found = await until(async () => {
    const { notifications } = await carol.notifications.list({ unread: true });
    return notifications.find(({ message_id }) => message_id === message.id);
  });
  await carol.notifications.read([found.id]);
  const left = await carol.notifications.list({ unread: true });
  assert.ok(!left.notifications.some(({ id }) => id === found.id));
  assert.equal((await his.chat.notify('none')).level, 'none');
  await his.chat.notify('mentions');
});

test('others see that one writes, and that one stopped', async () => {
  const began = heard(hers.chat, 'typing', ({ name }, typing) => name === 'carol' && typing);
  his.chat.typing();
  his.chat.typing();
  const [who] = await began;
  assert.equal(who.id, his.me.id);
  const stopped = heard(hers.chat, 'typing', ({ id }, typing) => id === who.id && !typing);
  await his.chat.say('Said');
  await stopped;
});

test('what one looks like, and what is told once, reach the others', async () => {
  const looked = heard(hers.people, 'avatar', ({ account }) => account === 'carol');
  his.me.look({ hat: 'red' });
  assert.deepEqual((await looked)[0].avatar, { hat: 'red' });
  const told = heard(hers, 'entity', ({ name }) => name === 'dice');
  await his.tell('dice', { eyes: [6, 6] });
  assert.deepEqual((await told)[0].data, { eyes: [6, 6] });
});
