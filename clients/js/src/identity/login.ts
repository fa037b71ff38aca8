import { PresenceError } from '../errors.js';
import type { Send } from '../server.js';

/** A token, and with it what the next one needs. Times are of this machine's clock, in milliseconds. */
export interface Kept {
  token: string;
  refresh?: string;
  /** When to get the next one. */
  renewAt?: number;
  /** When it is over. */
  endsAt?: number;
  name?: string;
}

/** Who one is. Tokens come from it, and new ones in their place. */
export interface Login {
  /** The account's name, once it is proven; null for a guest. */
  readonly account: string | null;
  /** A token that is good now; undefined for one who shows none. Rejects with `session_expired` where it is over. */
  token(): Promise<string | undefined>;
  /** Another token in the place of one that was refused. Rejects with `session_expired` where there is none. */
  renew(refused: string | undefined): Promise<string | undefined>;
  /** Calls `listener` with each new token of the same identity; what it returns ends that. */
  onRenewed(listener: (token: string) => void): () => void;
  /** Ends it: revoked at the server, forgotten here. */
  end(): Promise<void>;
  /** Lets go of timers; the login itself stays good. */
  close(): void;
}

/** What `connect` takes as `as`. */
export type As = string | ((send: Send) => Login);

const FORGIVEN_MS = 30_000;
export const PATIENCE_MS = 60_000;

/** How long a token lives, in milliseconds by its own `iat` and `exp` (RFC 7519); null for one that does not say. */
export const lifeOf = (token: string): number | null => {
  try {
    const { iat, exp } = JSON.parse(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')));
    return Number.isFinite(exp - iat) ? (exp - iat) * 1000 : null;
  } catch {
    return null;
  }
};

/** The times of a token that came just now: renewed when nine tenths of its life are over, or half a minute is left. */
export const timesOf = (token: string, now = Date.now()): Pick<Kept, 'renewAt' | 'endsAt'> => {
  const life = lifeOf(token);
  return life === null ? {} : { renewAt: now + Math.max(life * 0.75, Math.min(life * 0.9, life - FORGIVEN_MS)), endsAt: now + life };
};

/** Waits. */
export const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

/** Asks again while what is wrong is temporary: a login is over only when the server says so. */
export const patiently = async <T>(ask: () => Promise<T>, patience = PATIENCE_MS): Promise<T> => {
  const until = Date.now() + patience;
  for (let pause = 250; ; pause = Math.min(pause * 2, 5000)) {
    try {
      return await ask();
    } catch (error) {
      const failed = PresenceError.of(error);
      const next = failed.retryAfter === undefined ? pause : failed.retryAfter * 1000;
      if (!failed.temporary || Date.now() + next > until) throw failed;
      await wait(next * (0.75 + Math.random() / 2));
    }
  }
};
