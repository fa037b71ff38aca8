// A walker and what their viewers see of them, on clocks of the test's own.
import { Playback, Pose } from './parts.mjs';

export const TICK = 50;
export const SPEED = 1.4; // metres a second
const RADIUS = 3;
const FRAME = 1000 / 72;
const SKEW = -123_456; // of the viewer's clock

const truth = (t) => ({ x: RADIUS * Math.cos((SPEED * t) / 1000 / RADIUS), y: 0, z: RADIUS * Math.sin((SPEED * t) / 1000 / RADIUS) });
const angle = ({ x, z }) => Math.atan2(z, x);

// The same numbers in each run (mulberry32).
const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

// Arrivals over one connection, in order: each 0 to 50 ms on its way, one in twenty 100 ms more.
const arrivals = (seconds, seed) => {
  const next = random(seed);
  let before = 0;
  return Array.from({ length: (seconds * 1000) / TICK }, (_, i) => {
    const t = i * TICK;
    before = Math.max(before, t + next() * 50 + (next() < 0.05 ? 100 : 0));
    return { t, at: before };
  });
};

// Calls `shown(time, pose, clock)` for each frame after the first two seconds.
export const play = (coming, seconds, place, shown) => {
  const playback = new Playback();
  const pose = new Pose();
  let i = 0;
  for (let now = 0; now < seconds * 1000; now += FRAME) {
    for (; i < coming.length && coming[i].at <= now; i++) {
      playback.arrived(coming[i].t, coming[i].at + SKEW);
      pose.put(coming[i].t, place(coming[i].t), undefined);
    }
    playback.frame(now + SKEW);
    pose.advance(playback);
    if (now > 2000) shown(now, pose, playback.t);
  }
};

/** How a walk of so many seconds is shown: metres off at most, milliseconds behind at most, steps backwards. */
export const walk = (seconds, seed) => {
  const seen = { metres: 0, behind: 0, backwards: 0 };
  let before = null;
  play(arrivals(seconds, seed), seconds - 1, truth, (now, pose, t) => {
    const real = truth(t);
    seen.metres = Math.max(seen.metres, Math.hypot(pose.x - real.x, pose.z - real.z));
    seen.behind = Math.max(seen.behind, now - t);
    const here = angle(pose);
    if (before !== null && Math.atan2(Math.sin(here - before), Math.cos(here - before)) < -1e-9) seen.backwards += 1;
    before = here;
  });
  return seen;
};
