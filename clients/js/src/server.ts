import { PresenceError, isOver } from './errors.js';
import type { Login } from './identity/login.js';

export type Query = Record<string, string | number | boolean | undefined>;

/** What a request has beside its method and path. */
export interface Request { query?: Query; body?: unknown; token?: string; signal?: AbortSignal }

/** Sends one request as it is. Rejects with a PresenceError; `offline` where no answer came. */
export interface Send {
  <T>(method: string, path: string, request?: Request): Promise<T>;
  /** Where the server is, without a slash at its end. */
  readonly url: string;
}

const LONGEST_ANSWER_MS = 30_000;

/** A `Send` for the server at that address. */
export const sender = (address: string): Send => {
  const url = address.replace(/\/+$/, '');
  const send = async <T>(method: string, path: string, { query, body, token, signal }: Request = {}): Promise<T> => {
    const headers: Record<string, string> = {};
    if (token) headers['Authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    const response = await fetch(url + path + written(query), {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ?? AbortSignal.timeout(LONGEST_ANSWER_MS),
    }).catch((error: unknown) => { throw new PresenceError('offline', `The server was not reached: ${String(error)}`); });
    return answerOf<T>(response);
  };
  return Object.assign(send, { url });
};

const written = (query: Query = {}): string => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined).map(([key, value]) => [key, String(value)]);
  return given.length ? `?${new URLSearchParams(given)}` : '';
};

const answerOf = async <T>(response: Response): Promise<T> => {
  const text = await response.text().catch((error: unknown) => {
    throw new PresenceError('offline', `The answer was cut off: ${String(error)}`);
  });
  let body: unknown = {};
  try {
    body = text ? JSON.parse(text) : {};
  } catch { // a proxy's page: whoever took it for an empty answer would lose a login by it
    if (response.ok) throw new PresenceError('unavailable', 'What answered is not the server.');
  }
  if (response.ok) return body as T;
  const failed = PresenceError.of(body, response.status >= 500 ? 'unavailable' : response.status === 429 ? 'rate_limited' : 'internal');
  const after = Number(response.headers.get('Retry-After') ?? NaN);
  if (failed.retryAfter !== undefined || !(after >= 0)) throw failed;
  throw new PresenceError(failed.code, failed.message, { ...failed.details, retry_after: after });
};

/** Requests as whoever is logged in. A token that ran out is renewed once. */
export class Server {
  constructor(readonly send: Send, readonly login: Login) {}

  get url(): string {
    return this.send.url;
  }

  /** Asks. Rejects with a PresenceError. */
  async ask<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const token = await this.login.token();
    try {
      return await this.send<T>(method, path, { ...request, token });
    } catch (error) {
      if (!isOver(PresenceError.of(error))) throw error;
      return this.send<T>(method, path, { ...request, token: await this.login.renew(token) });
    }
  }
}
