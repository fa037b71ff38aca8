// The composables for Vue in Node, without a DOM: `PRESENCE_URL`, and in `PRESENCE_SPACE` a space that nobody else is in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSSRApp, effectScope, h, ref } from 'vue';
import { renderToString } from 'vue/server-renderer';
import { connect, guest } from '../../dist/index.js';
import { usePresence, useSpace } from '../../dist/vue.js';
import { until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const people = async () => {
  const presence = await connect(url, { as: guest('Counter') });
  const space = await presence.enter(key);
  const names = [...space.people].map(({ name }) => name);
  await presence.close();
  return names;
};

test('refs follow the space, and the end of the scope is the end of one\'s stay', async () => {
  const scope = effectScope();
  const hers = scope.run(() => useSpace(key, { from: usePresence(url, { as: guest('Ann') }) }));
  const other = effectScope();
  const wanted = ref(null);
  const his = other.run(() => useSpace(wanted, { from: usePresence(url, { as: guest('Ben') }) }));
  assert.deepEqual([hers.state.value, his.state.value], ['catching up', 'out']);
  await assert.rejects(his.say('To nobody'), { code: 'left' });
  wanted.value = key;
  await until(() => hers.state.value === 'live' && his.state.value === 'live');
  await until(() => hers.people.value.length === 1 && his.people.value.length === 1);
  assert.match(hers.people.value[0].name, /^Ben/);

  const said = await hers.say('Hello');
  await until(() => his.messages.value.some(({ id }) => id === said.id));
  const before = his.messages.value.find(({ id }) => id === said.id);
  his.space.value.chat.typing();
  await until(() => hers.typing.value.some((name) => name.startsWith('Ben')));
  await his.space.value.chat.react(said, '👍');
  const after = await until(() => his.messages.value.find(({ id, reactions }) => id === said.id && reactions['👍']));
  assert.notEqual(after, before, 'what changed is another object, so that components see it');

  const ball = hers.space.value.things.make('ball', { at: 1 });
  assert.ok(await ball.hold());
  await until(() => his.things.value[0]?.holder === hers.space.value.me.id);
  assert.deepEqual(his.things.value[0].state, { at: 1 });

  wanted.value = null;
  await until(() => hers.people.value.length === 0);
  assert.deepEqual([his.people.value, his.messages.value, his.things.value, his.space.value], [[], [], [], null]);
  scope.stop();
  other.stop();
  await until(async () => (await people()).length === 0);
});

test('where one may not enter, the state is out and the reason says why', async () => {
  const scope = effectScope();
  const { state, reason } = scope.run(() => useSpace('post:nobody/nothing', { from: usePresence(url, { as: guest('Ann') }) }));
  await until(() => state.value === 'out');
  assert.equal(reason.value.code, 'not_found');
  scope.stop();
});

test('a server that renders a page connects to nobody', async () => {
  const asked = [];
  const { fetch } = globalThis;
  globalThis.fetch = (...args) => { asked.push(args); return fetch(...args); };
  const page = {
    setup() {
      const { presence } = usePresence(url, { as: guest('Server') });
      const { state, people: here } = useSpace(key);
      return () => h('p', `${state.value} ${here.value.length} ${presence.value}`);
    },
  };
  const html = await renderToString(createSSRApp(page));
  globalThis.fetch = fetch;
  assert.equal(html, '<p>catching up 0 null</p>');
  assert.deepEqual(asked, []);
});

test('who calls useSpace without usePresence is told so', async () => {
  assert.throws(() => effectScope().run(() => useSpace(key)), { code: 'invalid_input' });
});
