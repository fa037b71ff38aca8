// The messages that are known: each once, in the space's order, and nothing that nobody vouches for.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Messages } from './parts.mjs';

const message = (seq, content = `message ${seq}`) => ({ id: `m${seq}`, seq, content, thread_count: 0, reactions: {} });
const known = (...seqs) => {
  const messages = new Messages();
  for (const seq of seqs) messages.add(message(seq));
  return messages;
};
const seqs = ({ list }) => list.map(({ seq }) => seq);

test('each has its place by its number, once, in whatever order they come', () => {
  const messages = known(3, 1, 2);
  assert.equal(messages.add(message(2)), false);
  assert.deepEqual(seqs(messages), [1, 2, 3]);
});

test('what lies before a hole is forgotten: nobody knows whether it still says this', () => {
  const messages = known(1, 2, 5, 6);
  messages.forgetBelow(5);
  assert.deepEqual(seqs(messages), [5, 6]);
  assert.equal(messages.get('m1'), undefined);
  messages.forgetBelow(9);
  assert.deepEqual(seqs(messages), []);
});

test('a change of what is known is told, and of anything else is none', () => {
  const messages = known(1);
  assert.equal(messages.update(message(1)), null);
  assert.equal(messages.update(message(1, 'Changed')).content, 'Changed');
  assert.equal(messages.update(message(2)), null);
  assert.equal(messages.count('m1', -1).thread_count, 0);
  assert.equal(messages.count('m1', 1).thread_count, 1);
  assert.equal(messages.react('m9', {}), null);
});
