import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';

const MOST_BYTES = 30 * 1024;

let out;
before(async () => {
  out = await mkdtemp(join(tmpdir(), 'presence-size-'));
  execFileSync('node', [new URL('../scripts/build.mjs', import.meta.url).pathname, out]);
});
after(() => rm(out, { recursive: true }));
const file = (name) => readFileSync(join(out, name), 'utf8');

test('the library with socket.io-client has at most 30 KiB, minified and gzipped', () => {
  const bytes = gzipSync(file('presence.min.js'), { level: 9 }).length;
  assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
});

test('voice is in its own entry', () => {
  const hasVoice = (...names) => names.some((name) => file(name).includes('RTCPeerConnection'));
  assert.deepEqual([hasVoice('presence.min.js'), hasVoice('index.js', ...chunksOf('index.js'))], [false, false]);
  assert.deepEqual([hasVoice('presence-voice.min.js'), hasVoice('voice.js', ...chunksOf('voice.js'))], [true, true]);
});

test('entries share one library, and nothing but socket.io-client and vue is left to be found', () => {
  const entries = ['index.js', 'voice.js', 'vue.js', 'aframe.js'];
  const outside = new Set(entries.flatMap((name) => [name, ...chunksOf(name)]).flatMap(importsOf).filter((name) => !name.startsWith('.')));
  assert.deepEqual([...outside].sort(), ['socket.io-client', 'vue']);
  for (const entry of entries) assert.ok(chunksOf(entry).some((name) => chunksOf('index.js').includes(name)), entry);
  for (const name of ['index.js', 'voice.js']) assert.ok(!importsOf(name).includes('vue'), name);
});

const importsOf = (name) => [...file(name).matchAll(/^(?:import|export)\b[^;]*?["']([^"']+)["'];/gms)].map(([, from]) => from);
const chunksOf = (name) => importsOf(name).filter((from) => from.startsWith('./')).map((from) => from.slice(2));
