// `node scripts/build.mjs [OUT]`: the entries as modules that share their parts; and for pages without a bundler
// `presence.min.js`, which is all of the first with socket.io-client in one file, `presence-voice.min.js` with voice, and
// `presence-aframe.min.js`, a classic script with everything that A-Frame's scenes use.
import { rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { build } from 'esbuild';

const root = new URL('..', import.meta.url).pathname;
const out = process.argv[2] ?? `${root}dist`;
const entries = ['index', 'voice', 'vue', 'aframe'].map((name) => `${root}src/${name}.ts`).filter(existsSync);
const common = { bundle: true, format: 'esm', target: 'es2022', absWorkingDir: root, logLevel: 'warning' };
const whole = (name, contents, how) => build({
  ...common, ...how, outfile: `${out}/${name}.min.js`, stdin: { contents, resolveDir: root }, minify: true, platform: 'browser', legalComments: 'none',
});

await rm(out, { recursive: true, force: true });
await build({ ...common, outdir: out, entryPoints: entries, splitting: true, external: ['socket.io-client', 'vue'], sourcemap: true });
await whole('presence', "export * from './src/index.ts';");
await whole('presence-voice', "export * from './src/index.ts'; import './src/voice.ts';");
await whole('presence-aframe', "export * from './src/index.ts'; export * from './src/aframe.ts';", { format: 'iife', globalName: 'DluxPresence' });
