import type { Kept } from './login.js';

/** Where a login is kept between pages: the shape of `localStorage`. */
export type Keeper = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** A storage of the browser, or one in memory where there is none, or none may be used. */
export const browserStorage = (name: 'localStorage' | 'sessionStorage'): Keeper => {
  try {
    const found = globalThis.window?.[name];
    if (found) return found;
  } catch { /* forbidden to this page */ }
  const values = new Map<string, string>();
  return {
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => { values.set(key, value); },
    removeItem: (key) => { values.delete(key); },
  };
};

/** One login in a storage. `exclusively` holds for all tabs of the origin: of two that renew, one does, the other reads. */
export class Store {
  constructor(private readonly keeper: Keeper, private readonly key: string) {}

  read(): Kept | null {
    try {
      const kept = JSON.parse(this.keeper.getItem(this.key) ?? 'null') as Kept | null;
      return kept && typeof kept.token === 'string' ? kept : null;
    } catch {
      return null; // somebody else's
    }
  }

  write(kept: Kept | null): void {
    try {
      if (kept) this.keeper.setItem(this.key, JSON.stringify(kept));
      else this.keeper.removeItem(this.key);
    } catch { /* full: it is good until the page goes */ }
  }

  // Without locks (an insecure context), the server gives tabs that renew within half a minute the same answer.
  async exclusively<T>(action: () => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks;
    return locks ? locks.request(this.key, action) as Promise<T> : action();
  }
}
