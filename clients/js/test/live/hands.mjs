// `node hands.mjs COUNT`: three people add one to a counter that each holds meanwhile, until it is at COUNT; whatever
// becomes of the servers. Writes `now N` after each, and at the end who added how often, and whether all know the same.
import { connect, guest } from '../../dist/index.js';
import { until } from './waiting.mjs';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const count = Number(process.argv[2]);
const presences = await Promise.all(['Ann', 'Ben', 'Cem'].map((name) => connect(url, { as: guest(name) })));
const spaces = await Promise.all(presences.map((presence) => presence.enter(key)));
const states = new Set();
for (const space of spaces) space.on('state', (state) => states.add(state));

const add = async ({ things }) => {
  const counter = things.make('counter', { n: 0 });
  await counter.ready;
  let added = 0;
  while (counter.state.n < count) {
    if (!await counter.hold()) {
      await new Promise((resolve) => { setTimeout(resolve, 5); });
      continue;
    }
    const n = counter.state.n + 1;
    if (n <= count && await counter.set({ n })) {
      added += 1;
      console.log(`now ${n}`);
    }
    await counter.release();
  }
  return added;
};
const added = await Promise.all(spaces.map(add));

presences.push(await connect(url, { as: guest('Late') }));
spaces.push(await presences.at(-1).enter(key));
const shown = ({ things }) => JSON.stringify([...things].map(({ id, version, state, holder }) => ({ id, version, state, holder })));
await until(() => spaces.every((space) => shown(space) === shown(spaces[0])), () => spaces.map(shown).join('\n'));
console.log(JSON.stringify({ added, states: [...states], things: JSON.parse(shown(spaces[0])) }));
await Promise.all(presences.map((presence) => presence.close()));
