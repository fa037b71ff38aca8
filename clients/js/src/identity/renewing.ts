import { PresenceError, isOver } from '../errors.js';
import type { Kept, Login } from './login.js';
import type { Store } from './store.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const AGAIN_MS = 5_000;

/** Ways of getting a token. `next` may be missing: then a token that ran out is followed by a new one of `first`. */
export interface Source {
  readonly account: string | null;
  /** The first token. */
  first(): Promise<Kept>;
  /** The next one of the same identity; null where there is none. */
  next(kept: Kept): Promise<Kept | null>;
  /** Tells the server that it is over. */
  end(kept: Kept): Promise<void>;
}

/** A login whose tokens renew themselves, one tab at a time. */
export class Renewing implements Login {
  readonly #listeners = new Set<(token: string) => void>();
  #kept: Kept | null;
  #asking: Promise<Kept> | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #over: PresenceError | null = null;

  constructor(private readonly source: Source, private readonly store: Store) {
    this.#kept = store.read();
    if (this.#kept) this.#schedule(this.#kept);
  }

  get account(): string | null {
    return this.source.account;
  }

  async token(): Promise<string> {
    if (this.#over) throw this.#over;
    const kept = this.#kept;
    if (kept && Date.now() < (kept.endsAt ?? Infinity)) return kept.token;
    return (await this.#another(kept?.token)).token;
  }

  async renew(refused: string | undefined): Promise<string> {
    if (this.#over) throw this.#over;
    if (this.#kept && this.#kept.token !== refused) return this.#kept.token;
    return (await this.#another(refused)).token;
  }

  onRenewed(listener: (token: string) => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  async end(): Promise<void> {
    const kept = this.#kept;
    this.#forget(new PresenceError('unauthorized', 'Logged out.'));
    if (kept) await this.source.end(kept);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  /** One question at a time, whoever asks. */
  #another(refused: string | undefined): Promise<Kept> {
    this.#asking ??= this.store.exclusively(() => this.#ask(refused)).finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #ask(refused: string | undefined): Promise<Kept> {
    const other = this.store.read(); // of another tab, which renewed it meanwhile
    if (other && other.token !== refused && Date.now() < (other.endsAt ?? Infinity)) return this.#take(other);
    const before = other ?? this.#kept;
    if (!before) return this.#take(await this.source.first());
    try {
      const next = await this.source.next(before);
      return this.#take(next ?? await this.source.first());
    } catch (error) {
      const failed = PresenceError.of(error);
      if (isOver(failed)) this.#forget(new PresenceError('session_expired', 'The login is over: log in again.'));
      throw this.#over ?? failed;
    }
  }

  #take(kept: Kept): Kept {
    const isNew = this.#kept !== null && this.#kept.token !== kept.token;
    this.#kept = kept;
    this.store.write(kept);
    this.#schedule(kept);
    if (isNew) for (const listener of [...this.#listeners]) listener(kept.token);
    return kept;
  }

  #forget(reason: PresenceError): void {
    clearTimeout(this.#timer);
    this.#over = reason;
    this.#kept = null;
    this.store.write(null);
  }

  // Before it runs out, so that no socket has to be closed for it.
  #schedule(kept: Kept, again = 0): void {
    clearTimeout(this.#timer);
    if (kept.renewAt === undefined) return;
    const delay = Math.min(Math.max(kept.renewAt - Date.now(), again), LONGEST_TIMER_MS);
    this.#timer = setTimeout(() => {
      this.#another(kept.token).catch((error: unknown) => {
        if (!isOver(PresenceError.of(error))) this.#schedule(kept, AGAIN_MS);
      });
    }, delay);
    (this.#timer as { unref?: () => void }).unref?.();
  }
}
