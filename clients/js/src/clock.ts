const SAMPLES = 5;
const EVERY_MS = 60_000;

/** The server's clock. Of several questions the one that took the shortest says how the two clocks lie. */
export class Clock {
  #offset = performance.timeOrigin; // from `performance.now()` to the server's time; until asked, this machine's clock
  #shortest = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #turn = 0; // of setting; `stop` ends the one under way

  constructor(private readonly ask: () => Promise<{ time: number; took: number }>) {}

  now(): number {
    return performance.now() + this.#offset;
  }

  /** Sets it, and again every minute. */
  async set(): Promise<void> {
    this.stop();
    const turn = this.#turn;
    this.#shortest = Infinity; // clocks drift
    for (let sample = 0; sample < SAMPLES; sample++) {
      const answer = await this.ask().catch(() => null);
      if (turn !== this.#turn) return;
      if (!answer) break;
      if (answer.took >= this.#shortest) continue;
      this.#shortest = answer.took;
      this.#offset = answer.time + answer.took / 2 - performance.now();
    }
    this.#timer = setTimeout(() => void this.set(), EVERY_MS);
    (this.#timer as { unref?: () => void }).unref?.();
  }

  stop(): void {
    this.#turn++;
    clearTimeout(this.#timer);
  }
}
