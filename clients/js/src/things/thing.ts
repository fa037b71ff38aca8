import { PresenceError } from '../errors.js';
import { TICK_MS } from '../poses/playback.js';
import { type Ack, Outbox } from '../space/outbox.js';
import type { Link } from '../space/link.js';
import { wait } from '../identity/login.js';
import type { FromServer } from '../wire/index.js';

type Wire = FromServer['thing-made'];
export type Fields = Record<string, unknown>;
/** Fields to change; null takes one away. */
export type ThingChange<State> = { [Field in keyof State]?: State[Field] | null };

const NOT_OURS = new Set(['conflict', 'not_found']); // somebody else was there before

/** An object of the space: its state is what the server decided last, the same for everybody. */
export class Thing<State extends object = Fields> {
  state: Readonly<State>;
  /** Rises with every change. */
  version = 0;
  /** The socket id of who holds it; null where nobody does. */
  holder: string | null = null;
  /** The account that made it; null for a guest's. */
  creator: string | null = null;
  /** Removed, or its space was left. */
  gone = false;
  /** Resolves once it is in the space, with what was there before where the id was taken; rejects where it may not be made. */
  readonly ready: Promise<this>;

  readonly #commands: Outbox;
  #unsent: Fields | null = null; // of the set that waits
  #setting: Promise<boolean> = Promise.resolve(false);
  #setAt = -Infinity;
  #sentAsHolder = false; // the set under way
  #waiting: { version: number; go(): void }[] = [];

  /** @internal */
  constructor(readonly id: string, state: State, private readonly link: Link, private readonly told: (thing: Wire) => void) {
    this.state = state;
    this.ready = Promise.resolve(this);
    this.#commands = new Outbox((event, payload) => link.deliver(event, payload, () => event !== 'thing-set' || this.#maySet()));
  }

  /** Whether one holds it oneself. */
  get mine(): boolean {
    return this.holder !== null && this.link.ids.has(this.holder);
  }

  /** Takes it: true for exactly one of those who reach for it; false where somebody else has it, or it is gone. */
  async hold(): Promise<boolean> {
    const ack = await this.#ask('thing-hold');
    if (ack) this.told(ack['thing'] as Wire);
    return ack !== null;
  }

  /**
   * Changes fields: as often as you like, what waits is sent together at the tick. True once everybody is told; false
   * where somebody else holds it, or it is gone. With `version` false too where that is not the thing's any more; such a
   * change is sent once, and rejects where nobody knows whether it was taken.
   */
  set(change: ThingChange<State>, { version }: { version?: number } = {}): Promise<boolean> {
    return quietly(version === undefined ? this.#merge(change) : this.#once(change, version));
  }

  /** Lets it go. */
  release(): Promise<void> {
    return quietly(this.#changed('thing-release').then(() => {}));
  }

  /** Takes it out of the space: true where it is gone; false where somebody else holds it. */
  remove(): Promise<boolean> {
    this.#unsent = null;
    const removed = this.#commands.command('thing-remove', { id: this.id }).then((ack) => this.#seen(ack), (error: unknown) => {
      const { code } = PresenceError.of(error);
      if (code === 'not_found' || code === 'conflict') return code === 'not_found';
      throw error;
    });
    return quietly(removed);
  }

  /** @internal Asks the server to make it. */
  make(hold: boolean): this {
    this.#unsent = null;
    const made = this.#commands.command('thing-make', { id: this.id, state: this.state, hold });
    const ready = made.then((ack) => { this.told(ack['thing'] as Wire); return this; });
    return Object.assign(this, { ready: quietly(ready) });
  }

  /** @internal Takes it as it is; false where that is known. A snapshot's is the truth. */
  become({ version, state, holder, creator }: Wire, isSnapshot = false): boolean {
    if (isSnapshot ? version === this.version && holder === this.holder : version <= this.version) return false;
    Object.assign(this, { state, holder, creator });
    return this.#at(version);
  }

  /** @internal Lays fields over its state; false where that is known. */
  lay(version: number, change: Fields): boolean {
    if (version <= this.version) return false;
    const state = Object.entries({ ...this.state, ...change }).filter(([, value]) => value !== null);
    this.state = Object.fromEntries(state) as State;
    return this.#at(version);
  }

  /** @internal Is held by another, or by nobody; false where that is known. */
  pass(version: number, holder: string | null): boolean {
    if (version <= this.version) return false;
    this.holder = holder;
    return this.#at(version);
  }

  /** @internal Is not in the space any more. `reason` refuses what waits: one is out. */
  end(reason?: PresenceError): void {
    this.gone = true;
    this.holder = null;
    if (reason) this.#commands.close(reason);
    this.#at(Infinity);
  }

  #merge(change: ThingChange<State>): Promise<boolean> {
    if (!this.#unsent) {
      const state: Fields = {};
      const asHolder = this.mine;
      this.#setting = this.#changed('thing-set', async () => {
        await wait(Math.max(0, this.#setAt + TICK_MS - performance.now()));
        this.#setAt = performance.now();
        this.#sentAsHolder = asHolder;
        if (this.#unsent === state) this.#unsent = null; // what is set from now on is another change
        return { id: this.id, state };
      });
      this.#unsent = state;
    }
    Object.assign(this.#unsent, change);
    return this.#setting;
  }

  // Who was away for too long holds it no more: what was meant for the holder's hand is not sent after that.
  #maySet(): boolean {
    return this.mine || !this.#sentAsHolder;
  }

  async #once(change: ThingChange<State>, version: number): Promise<boolean> {
    const ack = await this.link.deliver('thing-set', { id: this.id, state: change, version }).catch(refusal);
    return this.#seen(ack);
  }

  async #changed(event: 'thing-set' | 'thing-release', payload?: () => Promise<Fields>): Promise<boolean> {
    return this.#seen(await this.#ask(event, payload));
  }

  #ask(event: 'thing-hold' | 'thing-set' | 'thing-release', payload?: () => Promise<Fields>): Promise<Ack | null> {
    this.#unsent = null; // what is set later comes after this
    return this.#commands.command(event, payload ?? { id: this.id }).catch(refusal);
  }

  // What was acknowledged is true here as soon as its event came, too.
  async #seen(ack: Ack | null): Promise<boolean> {
    if (!ack) return false;
    const version = ack['version'] as number;
    if (version > this.version && !this.gone) await new Promise<void>((go) => { this.#waiting.push({ version, go }); });
    return true;
  }

  #at(version: number): true {
    if (version !== Infinity) this.version = version;
    const before = this.#waiting;
    this.#waiting = before.filter((one) => one.version > version);
    for (const one of before) if (one.version <= version) one.go();
    return true;
  }
}

const refusal = (error: unknown): null => {
  if (NOT_OURS.has(PresenceError.of(error).code)) return null;
  throw error;
};

// Who does not wait for it is not ended by it.
const quietly = <T>(promise: Promise<T>): Promise<T> => {
  promise.catch(() => {});
  return promise;
};
