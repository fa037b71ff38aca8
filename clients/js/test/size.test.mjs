import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';

const MOST_BYTES = 30 * 1024;

let root;
let out;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'presence-size-'));
  const installed = join(root, 'node_modules', '@dlux', 'presence'); // as npm installs it
  out = join(installed, 'dist');
  await mkdir(installed, { recursive: true });
  await copyFile(new URL('../package.json', import.meta.url), join(installed, 'package.json'));
  execFileSync('node', [new URL('../scripts/build.mjs', import.meta.url).pathname, out]);
});
after(() => rm(root, { recursive: true }));
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

test('a bundler keeps what an entry does, and leaves out what nobody imports', async () => {
  const bundled = async (contents) => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: root }, bundle: true, format: 'esm', write: false, treeShaking: true, external: ['socket.io-client'],
    });
    return outputFiles[0].text;
  };
  const connects = "import { connect } from '@dlux/presence'; console.log(connect);";
  assert.ok((await bundled(`${connects} import '@dlux/presence/voice';`)).includes('RTCPeerConnection'));
  assert.ok(!(await bundled(connects)).includes('RTCPeerConnection'));
});

const importsOf = (name) => [...file(name).matchAll(/^(?:import|export)\b[^;]*?["']([^"']+)["'];/gms)].map(([, from]) => from);
const chunksOf = (name) => importsOf(name).filter((from) => from.startsWith('./')).map((from) => from.slice(2));
