// `node scripts/build.mjs [OUT]`: the entries as modules that share their parts, and `presence.min.js`, which is all of
// the first with socket.io-client in one file, for pages without a bundler.
import { rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const out = process.argv[2] ?? `${root}dist`;
const entries = ['index', 'voice', 'vue', 'aframe'].map((name) => `${root}src/${name}.ts`).filter(existsSync);
const common = { bundle: true, format: 'esm', target: 'es2022', outdir: out, absWorkingDir: root, logLevel: 'warning' };

await rm(out, { recursive: true, force: true });
await build({ ...common, entryPoints: entries, splitting: true, external: ['socket.io-client', 'vue'], sourcemap: true });
await build({
  ...common, entryPoints: { 'presence.min': `${root}src/index.ts` }, minify: true,
  platform: 'browser', legalComments: 'none',
});
