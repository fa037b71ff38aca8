// The README's lines for Node, as they are, one block after the other in one space of a running stack (`PRESENCE_URL`).
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

const { PRESENCE_URL: url } = process.env;
const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
const blocks = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, lines]) => lines);
const entry = new URL('../../dist/index.js', import.meta.url).href;

// What a page has beside the library: each of its functions only notes that it was called.
const page = `
  const calls = [];
  const note = (name) => (...args) => { calls.push([name, ...args]); };
  const badge = note('badge'), show = note('show'), position = { x: 1, y: 1.6, z: 0 }, rotation = { x: 0, y: 90, z: 0 };
  const objects = new Map();
  const scene = { add: note('add'), put: note('put'), remove: note('remove'), onFrame: (frame) => frame(), get: (id) => objects.get(id) };
`;

test('every line of the README runs as it is written', async () => {
  const imports = [];
  const body = blocks.join('\n').replaceAll('http://localhost:8080', url).replace(/^import .*$/gm, (line) => {
    imports.push(line.replace("'@dlux/presence'", JSON.stringify(entry)));
    return '';
  });
  const program = `${imports.join('\n')}\n${page}\n${body}\nawait presence.close();\nexport { calls };`;
  const { calls } = await import(`data:text/javascript,${encodeURIComponent(program)}`);
  const names = new Set(calls.map(([name]) => name));
  for (const name of ['show', 'badge', 'add', 'put', 'remove']) assert.ok(names.has(name), `${name} was called`);
  const [, state] = calls.find(([name, id, now]) => name === 'put' && id === 'lamp' && now.at?.[1] === 2);
  assert.equal(state, 'lamp');
});
