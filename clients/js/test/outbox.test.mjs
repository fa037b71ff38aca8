import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, PresenceError } from './parts.mjs';

test('what waits is sent in order, one at a time, and again with the same key after a lost connection', async () => {
  const sent = [];
  const outbox = new Outbox(async (event, payload) => {
    sent.push(payload.client_message_id);
    if (sent.length === 1) throw new PresenceError('offline');
    return { ok: true, id: payload.client_message_id };
  });
  const acks = await Promise.all(['a', 'b'].map((key) => outbox.command('chat-message', { client_message_id: key })));
  assert.deepEqual(sent, ['a', 'a', 'b']);
  assert.deepEqual(acks.map(({ id }) => id), ['a', 'b']);
});

test('a refusal is told to who asked, and holds nobody else up', async () => {
  const outbox = new Outbox(async (_, { bad }) => {
    if (bad) throw new PresenceError('muted', 'Muted.');
    return { ok: true };
  });
  const refused = outbox.command('chat-message', { bad: true });
  const taken = outbox.command('chat-message', {});
  await assert.rejects(refused, { code: 'muted' });
  assert.ok((await taken).ok);
});

test('who is out is told so of all that waits', async () => {
  const outbox = new Outbox(() => new Promise(() => {}));
  const waiting = outbox.command('chat-message', {});
  outbox.close(new PresenceError('banned'));
  await assert.rejects(waiting, { code: 'banned' });
  await assert.rejects(outbox.command('chat-message', {}), { code: 'banned' });
});
