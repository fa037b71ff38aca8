// `node numbers.mjs COUNT`: one says the numbers up to COUNT in a space, another hears them; whatever becomes of the
// servers meanwhile. Writes `said N` after each, and at the end what was heard, and the states the two went through.
import { connect, guest } from '../../dist/index.js';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const count = Number(process.argv[2]);
const states = [];
const enter = async (name) => {
  const presence = await connect(url, { as: guest(name) });
  const space = await presence.enter(key);
  space.on('state', (state) => states.push(`${name} ${state}`));
  return { presence, space };
};

const [speaker, listener] = await Promise.all([enter('Speaker'), enter('Listener')]);
const heard = [];
const all = new Promise((resolve) => {
  listener.space.chat.on('message', ({ content }) => {
    heard.push(content);
    if (content === String(count)) resolve();
  });
});
for (let number = 1; number <= count; number++) {
  await speaker.space.chat.say(String(number));
  console.log(`said ${number}`);
}
await all;
console.log(JSON.stringify({ heard, states }));
await Promise.all([speaker, listener].map(({ presence }) => presence.close()));
