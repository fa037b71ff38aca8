import { Emitter } from './emitter.js';
import { PresenceError } from './errors.js';
import { guest, token } from './identity/identities.js';
import type { As } from './identity/login.js';
import { Notifications } from './notifications.js';
import { Server, sender } from './server.js';
import { type EnterOptions, Space } from './space/space.js';
import { parseKey } from './space/key.js';
import type { Mention, SpaceSummary } from './wire/index.js';
import { Clock } from './clock.js';

/** Who one is: a guest, an account, or whoever a token says; without it a guest with a name of the server's choice. */
export interface ConnectOptions { as?: As }

export interface PresenceEvents {
  /** The account was named or answered, in whatever space; while one is in any. */
  mention: [mention: Mention];
}

/** Filters of `spaces`. */
export interface SpacesQuery {
  type?: string;
  space_type?: string;
  q?: string;
  sort?: 'active' | 'recent' | 'votes';
  limit?: number;
  cursor?: string;
}

/** One server, as one person. */
export class Presence extends Emitter<PresenceEvents> {
  readonly notifications: Notifications;
  readonly #spaces = new Set<Space>();
  readonly #clock: Clock;
  readonly #mentions = new Set<string>(); // that were told: each socket of the account hears of them

  /** @internal */
  constructor(private readonly server: Server) {
    super();
    this.notifications = new Notifications(server);
    this.#clock = new Clock(() => this.#askTime());
  }

  /** The account's name; null for a guest. */
  get account(): string | null {
    return this.server.login.account;
  }

  /** The server's clock, in milliseconds since 1970: this machine's until one is in a space. */
  now(): number {
    return this.#clock.now();
  }

  /** Enters a space: `post:bob/sculpture-hall`. Resolves once everything of it is here; rejects where one may not enter. */
  async enter(key: string, options: EnterOptions = {}): Promise<Space> {
    const space = new Space(this.server, parseKey(key, options.subspace), options);
    this.#spaces.add(space);
    space.on('state', (state) => {
      if (state === 'live') void this.#clock.set();
      if (state === 'out') this.#spaces.delete(space);
    });
    space.link.hear('mention', (mention) => this.#mentioned(mention));
    return space.enter();
  }

  /** The spaces that one may see, the lobby first; `next_cursor` continues. */
  spaces(query: SpacesQuery = {}): Promise<{ spaces: SpaceSummary[]; total: number; next_cursor: string | null }> {
    return this.server.ask('GET', '/api/spaces', { query: { ...query } });
  }

  /** Any other route of the server (`/openapi.json`), as who one is. Rejects with a PresenceError. */
  ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    return this.server.ask<T>(method, path, body === undefined ? {} : { body });
  }

  /** Leaves every space. The login stays good for the next page. */
  async close(): Promise<void> {
    this.#clock.stop();
    await Promise.all([...this.#spaces].map((space) => space.leave()));
    this.server.login.close();
  }

  /** Leaves every space, and ends the login: here, in other tabs, and at the server. */
  async logOut(): Promise<void> {
    await this.close();
    await this.server.login.end();
  }

  async #askTime(): Promise<{ time: number; took: number }> {
    const space = [...this.#spaces].find(({ link }) => link.live);
    if (!space) throw new PresenceError('offline', 'No space is live.');
    return space.link.time();
  }

  #mentioned(mention: Mention): void {
    const id = `${mention.message_id ?? mention.comment_id}:${mention.kind}:${mention.seq}`;
    if (this.#mentions.has(id)) return;
    this.#mentions.add(id);
    this.emit('mention', mention);
  }
}

/** Connects to a server: proves who one is. Rejects with a PresenceError where that fails. */
export const connect = async (url: string, { as = guest() }: ConnectOptions = {}): Promise<Presence> => {
  const send = sender(url);
  const login = (typeof as === 'string' ? token(as) : as)(send);
  await login.token();
  return new Presence(new Server(send, login));
};
