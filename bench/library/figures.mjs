// The figures as a table of Markdown. Ends with 1 where a goal is not met.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { crowd } from '../../clients/js/test/crowd.mjs';
import { walk } from '../../clients/js/test/walker.mjs';

const SECONDS = 120;
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
const dist = new URL('../../clients/js/dist/', import.meta.url);

const rows = [];
const row = (figure, is, goal, unit) => rows.push({ figure, is, goal, unit, met: is <= goal });

const walks = SEEDS.map((seed) => walk(SECONDS, seed));
const worst = (name) => Math.max(...walks.map((one) => one[name]));
row('walker at 1.4 m/s, 20 Hz, 50 ms of jitter, 5 % late: off its true path', worst('metres') * 100, 5, 'cm');
row('behind the server\'s clock', worst('behind'), 120, 'ms');
row('steps backwards', worst('backwards'), 0, '');

const { milliseconds, bytes } = crowd(500, 1000);
row('a frame with 500 people who move, CPU', milliseconds, 2, 'ms');
row('garbage of that frame, of each of them', bytes / 500, 2, 'bytes');

for (const [name, goal] of [['presence', 30], ['presence-voice', 36], ['presence-aframe', 40]]) {
  row(`${name}.min.js with socket.io-client, gzipped`, gzipSync(readFileSync(new URL(`${name}.min.js`, dist)), { level: 9 }).length / 1024, goal, 'KiB');
}

const shown = (number) => number.toLocaleString('en', { maximumFractionDigits: 2 });
console.log('| figure | is | goal at most | met |\n|---|---|---|---|');
for (const { figure, is, goal, unit, met } of rows) console.log(`| ${figure} | ${shown(is)} ${unit} | ${goal} ${unit} | ${met ? 'yes' : 'no'} |`);
process.exit(rows.every(({ met }) => met) ? 0 : 1);
