import { Person } from '../people/person.js';
import type { Server } from '../server.js';
import type { components } from '../wire/rest.js';

type Schemas = components['schemas'];

/** Whom it is about: somebody who is here, an account, or a guest by id. */
export type Whom = Person | { account: string } | { guest_id: string };
/** `until` is a time (RFC 3339); for ever without. `with_address` takes the person's address too. */
export interface Sanctioning { until?: string; with_address?: boolean }

/** Kicks, mutes and bans: of the owner and moderators. */
export class Moderation {
  /** @internal */
  constructor(private readonly server: Server, private readonly path: string) {}

  /** Puts somebody out; they may come back. */
  kick(whom: Whom, reason: string): Promise<unknown> {
    return this.#send('POST', 'kick', whom, reason);
  }

  /** Takes words and voice from somebody. */
  mute(whom: Whom, reason: string, how: Sanctioning = {}): Promise<Schemas['Sanction']> {
    return this.#send('POST', 'mute', whom, reason, how);
  }

  unmute(whom: Whom, reason: string): Promise<unknown> {
    return this.#send('DELETE', 'mute', whom, reason);
  }

  /** Puts somebody out, and keeps them out. */
  ban(whom: Whom, reason: string, how: Sanctioning = {}): Promise<Schemas['Sanction']> {
    return this.#send('POST', 'bans', whom, reason, how);
  }

  unban(whom: Whom, reason: string): Promise<unknown> {
    return this.#send('DELETE', 'bans', whom, reason);
  }

  bans(cursor?: string): Promise<Schemas['Sanctions']> {
    return this.server.ask('GET', `/api/spaces/${this.path}/bans`, { query: { cursor } });
  }

  /** What was done in the space's name, by whom and why. */
  audit(cursor?: string): Promise<Schemas['AuditTrail']> {
    return this.server.ask('GET', `/api/spaces/${this.path}/audit`, { query: { cursor } });
  }

  #send<T>(method: string, what: string, whom: Whom, reason: string, how: Sanctioning = {}): Promise<T> {
    const named = whom instanceof Person ? (whom.account ? { account: whom.account } : { socket_id: whom.id }) : whom;
    return this.server.ask(method, `/api/spaces/${this.path}/${what}`, { body: { ...named, ...how, reason } });
  }
}

/** Who moderates, and who is a member: the owner gives and takes it. */
export class Roles {
  /** @internal */
  constructor(private readonly server: Server, private readonly path: string) {}

  list(): Promise<Schemas['Roles']> {
    return this.server.ask('GET', this.#at(''));
  }

  give(account: string, role: 'moderator' | 'member'): Promise<Schemas['GivenRole']> {
    return this.server.ask('PUT', this.#at(account), { body: { role } });
  }

  take(account: string): Promise<unknown> {
    return this.server.ask('DELETE', this.#at(account));
  }

  #at(account: string): string {
    return `/api/spaces/${this.path}/roles${account && `/${encodeURIComponent(account)}`}`;
  }
}
