import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';

const MOST_BYTES = 30 * 1024;

test('the library with socket.io-client has at most 30 KiB, minified and gzipped', async (t) => {
  const out = await mkdtemp(join(tmpdir(), 'presence-size-'));
  t.after(() => rm(out, { recursive: true }));
  execFileSync('node', [new URL('../scripts/build.mjs', import.meta.url).pathname, out]);
  const bytes = gzipSync(readFileSync(join(out, 'presence.min.js')), { level: 9 }).length;
  assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
});
