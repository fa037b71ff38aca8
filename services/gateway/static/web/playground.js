// Enters a space as a guest, shows every event with its schema, sends any, and says how a program does.
import { element } from './element.js';
import { asyncapi, inWords, message } from './schemas.js';
import { ask as askRest } from './session.js';

const $ = (id) => document.getElementById(id);
const MOST_SHOWN = 200; // entries of the log
const events = Object.keys(asyncapi.operations).filter((name) => name.startsWith('socket.receive.')).map((name) => name.slice(15));
// How `@dlux/presence` says it, where it has a word of its own; all else is the socket's.
const LINES = {
  'join-space': ({ spaceType, spaceId }) => `const space = await presence.enter('${spaceType}:${spaceId}');`,
  'leave-space': () => 'await space.leave();',
  'aframe-update': (payload) => `space.me.move(${JSON.stringify(payload)});`,
  'chat-message': ({ content, parent_message_id: to }) => `await space.chat.say(${JSON.stringify(content)}${to ? `, { to: '${to}' }` : ''});`,
  'thing-make': ({ id, state = {} }) => `const thing = space.things.make(${JSON.stringify(id)}, ${JSON.stringify(state)});`,
  'thing-hold': ({ id }) => `const isMine = await space.things.get(${JSON.stringify(id)}).hold();`,
  'thing-set': ({ id, state }) => `await space.things.get(${JSON.stringify(id)}).set(${JSON.stringify(state)});`,
  'thing-release': ({ id }) => `await space.things.get(${JSON.stringify(id)}).release();`,
  'thing-remove': ({ id }) => `await space.things.get(${JSON.stringify(id)}).remove();`,
};
let socket = null;

const asCode = (event, payload) => LINES[event]?.(payload) ?? `await socket.emitWithAck('${event}', ${JSON.stringify(payload)});`;
const say = (text) => { $('status').textContent = text; };

const show = (arrow, event, payload, schema) => {
  const what = element('details', {}, element('summary', {}, element('code', {}, `${arrow} ${event}`), ` ${JSON.stringify(payload)?.slice(0, 120) ?? ''}`));
  what.append(element('pre', {}, JSON.stringify(payload, null, 2) ?? ''));
  if (schema) what.append(element('p', {}, 'Its schema:'), element('pre', {}, inWords(schema, asyncapi) || JSON.stringify(schema)));
  $('log').prepend(element('li', {}, what));
  while ($('log').children.length > MOST_SHOWN) $('log').lastChild.remove();
};

const ask = async (event, payload) => {
  show('→', event, payload, message('receive', event).payload);
  const ack = await socket.timeout(10_000).emitWithAck(event, payload);
  const done = message('ack', event).payload.oneOf;
  show('ack', event, ack, ack.ok ? done[0].allOf?.[1] ?? done[0] : done[1]);
  return ack;
};

const enter = async () => {
  const [spaceType, ...rest] = $('space').value.split(':');
  const subspace = rest.length > 1 ? { subspace: rest.pop() } : {};
  const ack = await ask('join-space', { spaceType, spaceId: rest.join(':'), ...subspace });
  say(ack.ok ? `In ${$('space').value} as ${ack.role}, ${socket.id}.` : ack.error);
};

$('connect').addEventListener('submit', async (submitted) => {
  submitted.preventDefault();
  socket?.disconnect();
  $('emit').disabled = true;
  try {
    const { token } = await askRest('POST', '/api/auth/guest', $('name').value ? { display_name: $('name').value } : {});
    socket = io({ auth: { token } });
  } catch (error) {
    say(error.message);
    return;
  }
  socket.onAny((event, payload) => show('←', event, payload, message('send', event)?.payload));
  socket.on('connect_error', (error) => say(error.message));
  socket.on('disconnect', (reason) => { say(`Disconnected: ${reason}.`); $('emit').disabled = true; });
  socket.on('connect', () => { $('emit').disabled = false; enter().catch((error) => say(error.message)); });
});

const written = () => {
  try {
    return JSON.parse($('payload').value || '{}');
  } catch (error) {
    say(`The payload is no JSON: ${error.message}`);
    return null;
  }
};

$('send').addEventListener('submit', (submitted) => {
  submitted.preventDefault();
  const payload = written();
  if (payload) ask($('event').value, payload).catch((error) => say(error.message));
});

$('copy').addEventListener('click', async () => {
  const payload = written();
  if (!payload) return;
  $('line').textContent = asCode($('event').value, payload);
  await navigator.clipboard?.writeText($('line').textContent).catch(() => {}); // it can be marked and copied by hand
});

const fill = () => {
  $('payload').value = JSON.stringify(message('receive', $('event').value).examples[0].payload, null, 2);
  $('line').textContent = '';
};
$('event').append(...events.map((event) => element('option', {}, event)));
$('event').value = 'chat-message';
$('event').addEventListener('change', fill);
fill();
