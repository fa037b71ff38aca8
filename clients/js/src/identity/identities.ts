import { PresenceError } from '../errors.js';
import type { Send } from '../server.js';
import { type Kept, type Login, patiently, timesOf } from './login.js';
import { Renewing } from './renewing.js';
import { type Keeper, Store, browserStorage } from './store.js';

interface Tokens { token: string; refresh_token: string; account: string }
interface GuestToken { token: string; display_name: string }

/** Options of a login. `store` is where it is kept between pages: the browser's, or memory in Node. */
export interface Stored { store?: Keeper }

/** A guest of that name (up to 32 characters; others see it marked as a guest's). A page that is loaded again is the same guest. */
export const guest = (name?: string, options: Stored = {}) => (send: Send): Login => {
  const first = async (): Promise<Kept> => {
    const body = name === undefined ? {} : { display_name: name };
    const made = await patiently(() => send<GuestToken>('POST', '/api/auth/guest', { body }));
    return { token: made.token, name: made.display_name, endsAt: timesOf(made.token).endsAt };
  };
  const keeper = options.store ?? browserStorage('sessionStorage');
  const source = { account: null, first, next: async () => null, end: async () => {} };
  return new Renewing(source, new Store(keeper, `presence-guest:${send.url}:${name ?? ''}`));
};

/** Signs a login challenge with the account's posting key and gives the signature: 130 hex digits. */
export type Sign = (challenge: string, account: string) => Promise<string>;

/** A Hive account. Signs once, by the Keychain extension or by `sign`; then its tokens renew themselves, over tabs too. */
export const keychain = (account: string, options: Stored & { sign?: Sign } = {}) => (send: Send): Login => {
  const keptOf = ({ token, refresh_token: refresh }: Tokens): Kept => ({ token, refresh, ...timesOf(token) });
  const sign = options.sign ?? signByExtension;
  const first = async (): Promise<Kept> => {
    const { challenge } = await send<{ challenge: string }>('POST', '/api/auth/challenge', { body: { account } });
    const signature = await sign(challenge, account);
    return keptOf(await send<Tokens>('POST', '/api/auth/login', { body: { account, challenge, signature } }));
  };
  const next = async (kept: Kept): Promise<Kept> => {
    const body = { refresh_token: kept.refresh };
    return keptOf(await patiently(() => send<Tokens>('POST', '/api/auth/refresh', { body })));
  };
  const end = async ({ token }: Kept): Promise<void> => { await send('POST', '/api/auth/logout', { body: {}, token }); };
  const keeper = options.store ?? browserStorage('localStorage');
  return new Renewing({ account, first, next, end }, new Store(keeper, `presence-login:${send.url}:${account}`));
};

/** A token that the application has; a function is asked again whenever one ran out. */
export const token = (given: string | (() => Promise<string>)) => (_: Send): Login => {
  let asking: Promise<string> | null = null;
  const ask = (): Promise<string> => (asking = (async () => (typeof given === 'string' ? given : given()))()
    .catch((error: unknown) => { // the next one asks again
      asking = null;
      throw PresenceError.of(error, 'unavailable');
    }));
  return {
    account: null,
    token: () => asking ?? ask(),
    renew: () => {
      if (typeof given === 'string') return Promise.reject(new PresenceError('session_expired', 'The token has run out.'));
      return ask();
    },
    onRenewed: () => () => {},
    end: async () => {},
    close: () => {},
  };
};

interface Keychain {
  requestSignBuffer(account: string, text: string, key: 'Posting', done: (answer: { success: boolean; result: string; message?: string }) => void): void;
}

const signByExtension: Sign = (challenge, account) => new Promise((resolve, reject) => {
  const extension = (globalThis as { hive_keychain?: Keychain }).hive_keychain;
  if (!extension) {
    reject(new PresenceError('unauthorized', 'Hive Keychain is not here: install it, or open this page where it is.'));
    return;
  }
  extension.requestSignBuffer(account, challenge, 'Posting', (answer) => {
    if (answer.success) resolve(answer.result);
    else reject(new PresenceError('unauthorized', answer.message ?? 'Not signed.'));
  });
});
