import type { Link } from '../space/link.js';

const SAID_EVERY_MS = 3_000;
const STOPS_AFTER_MS = 5_000;

type Timer = ReturnType<typeof setTimeout>;

/** Who is writing: says it of oneself seldom enough, and takes back what others did not. */
export class Typing {
  readonly #others = new Map<string, Timer>();
  #said = -Infinity;
  #timer: Timer | undefined;

  constructor(private readonly link: Link, private readonly told: (id: string, name: string, typing: boolean) => void) {
    link.hear('chat-typing', ({ socketId, displayName, typing }) => this.#other(socketId, displayName, typing));
  }

  /** Says that one is writing. At every key, if you like. */
  say(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.stop(), STOPS_AFTER_MS);
    if (performance.now() - this.#said < SAID_EVERY_MS) return;
    this.#said = performance.now();
    this.link.send('chat-typing', { typing: true });
  }

  /** Says that one stopped. */
  stop(): void {
    clearTimeout(this.#timer);
    if (this.#said === -Infinity) return;
    this.#said = -Infinity;
    this.link.send('chat-typing', { typing: false });
  }

  #other(id: string, name: string, typing: boolean): void {
    const was = this.#others.has(id);
    clearTimeout(this.#others.get(id));
    this.#others.delete(id);
    if (typing) this.#others.set(id, setTimeout(() => this.#other(id, name, false), STOPS_AFTER_MS * 2));
    if (was !== typing) this.told(id, name, typing);
  }
}
