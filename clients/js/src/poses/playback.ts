export const TICK_MS = 50; // between two poses of somebody who moves, by the server
const SLACK_MS = 8;
const LEAST_BEHIND_MS = 60;
const MOST_BEHIND_MS = 110; // what is later than that is guessed
const QUANTILE = 0.9; // of the poses are there when they are shown
const STEP_MS = 1;
const WINDOW_MS = 5_000;
const MOST_SLEW = 0.1; // of the time that passes
const JUMP_MS = 500;

/** What is shown, on the server's clock: `t`, while poses are known up to `newest`. One object for all frames: numbers that are handed on are garbage. */
export interface Moment {
  /** NaN while nothing has come. */
  t: number;
  newest: number;
}

/**
 * The moment that is shown, on the server's clock: as little behind as the arrivals' jitter allows, and never backwards.
 *
 * The way of the fastest packet of the last seconds tells how the two clocks lie; how late the others are, how far behind.
 */
export class Playback implements Moment {
  #fastest = Infinity; // local time of arrival minus server time, of this window
  #fastestBefore = Infinity;
  #windowBegan = 0;
  #lateness = 20; // an estimate of that quantile
  #lastFrame = 0;
  t = NaN;
  /** The newest server time that was heard of. */
  newest = -Infinity;

  /** Takes the server's time `t` of a packet that came at `local`, both in milliseconds. */
  arrived(t: number, local: number): void {
    if (t > this.newest) this.newest = t;
    if (local - this.#windowBegan > WINDOW_MS) {
      this.#fastestBefore = this.#fastest;
      this.#fastest = Infinity;
      this.#windowBegan = local;
    }
    const way = local - t;
    if (way < this.#fastest) this.#fastest = way;
    const late = way - this.#offset;
    this.#lateness += late > this.#lateness ? STEP_MS * QUANTILE * 4 : -STEP_MS * (1 - QUANTILE) * 4;
    if (this.#lateness < 0) this.#lateness = 0;
  }

  get #offset(): number {
    return Math.min(this.#fastest, this.#fastestBefore);
  }

  /** How far behind the fastest packet's clock it aims to be, in milliseconds. */
  get behind(): number {
    return Math.min(Math.max(TICK_MS + this.#lateness + SLACK_MS, LEAST_BEHIND_MS), MOST_BEHIND_MS);
  }

  /** Goes to what is to be shown at `local`. */
  frame(local: number): void {
    const wanted = local - this.#offset - this.behind;
    if (!Number.isFinite(wanted)) return;
    const passed = Math.max(0, local - this.#lastFrame);
    this.#lastFrame = local;
    const off = wanted - this.t - passed;
    if (Number.isNaN(this.t) || off > JUMP_MS) this.t = wanted;
    else this.t += passed + Math.min(Math.max(off, -MOST_SLEW * passed), MOST_SLEW * passed);
  }
}
