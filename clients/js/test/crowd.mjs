// Frames with a crowd: what one costs in CPU, and how many bytes it allocates.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { People } from './parts.mjs';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc'); // before bytes are counted, so that nothing is collected meanwhile

const TICK = 50; // milliseconds
const PER_TICK = 4; // frames, of a headset with 72 to 90 a second
const SIZE = 16; // bytes of a pose, as docs/frontend.md has them

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];

const compact = (people, t) => {
  const bytes = new DataView(new ArrayBuffer(people * SIZE));
  for (let i = 0; i < people; i++) {
    const at = i * SIZE;
    bytes.setUint16(at, i, true);
    [Math.sin(t / 1000 + i) * 5, 1.6, Math.cos(t / 1000 + i) * 5].forEach((metres, axis) => {
      const millimetres = Math.round(metres * 1000);
      bytes.setUint16(at + 2 + axis * 3, millimetres & 0xffff, true);
      bytes.setInt8(at + 4 + axis * 3, millimetres >> 16);
    });
    bytes.setUint16(at + 11, (t * 10 + i * 100) % 65536, true);
  }
  return bytes.buffer;
};

/**
 * Returns `milliseconds` of CPU and `bytes` of a frame with so many people who all move; a frame's share of measuring is in
 * both. The bytes are the median's, since what the compiler takes once is no garbage of a frame.
 */
export const crowd = (count, ticks) => {
  const hears = new Map();
  const people = new People({ hear: (event, hear) => hears.set(event, hear) });
  const names = [];
  const targets = new Map();
  for (let i = 0; i < count; i++) {
    const socketId = `r1-${i}`;
    hears.get('user-joined')({ socketId, userAccount: null, displayName: socketId, guest: true, position: { x: 0, y: 0, z: 0 }, avatar_data: null });
    names.push([i, socketId]);
    targets.set(socketId, { position: { x: 0, y: 0, z: 0 }, quaternion: { set(x, y, z, w) { this.x = x; this.w = w; } } });
  }
  const clock = performance.now;
  let now = clock.call(performance);
  performance.now = () => now;
  const visit = (person) => person.pose.into(targets.get(person.id));
  const used = { microseconds: 0, bytes: [], frames: 0 };
  const tick = (counts) => {
    hears.get('aframe-batch')({ t: now, names, compact: compact(count, now) });
    const heap = process.memoryUsage().heapUsed;
    const cpu = process.cpuUsage();
    for (let frame = 0; frame < PER_TICK; frame++) {
      now += TICK / PER_TICK;
      people.each(visit);
    }
    const { user, system } = process.cpuUsage(cpu);
    if (!counts) return;
    used.microseconds += user + system;
    used.bytes.push(process.memoryUsage().heapUsed - heap);
    used.frames += PER_TICK;
  };
  for (let i = 0; i < ticks / 2; i++) tick(false); // until it is compiled
  for (let i = 0; i < ticks; i++) {
    if (i % 10 === 0) collect();
    tick(true);
  }
  performance.now = clock;
  return { milliseconds: used.microseconds / 1000 / used.frames, bytes: median(used.bytes) / PER_TICK };
};
