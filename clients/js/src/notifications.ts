import type { Server } from './server.js';
import type { components } from './wire/rest.js';

type Schemas = components['schemas'];

/** The account's notifications: mentions, replies, what its events and webhooks have to say. */
export class Notifications {
  /** @internal */
  constructor(private readonly server: Server) {}

  /** Newest first, with unread counts per space; `cursor` continues. */
  list(query: { unread?: boolean; limit?: number; cursor?: string } = {}): Promise<Schemas['Notifications']> {
    return this.server.ask('GET', '/api/notifications', { query });
  }

  /** Marks some as read, or all of them. */
  read(ids?: string[]): Promise<Schemas['NotificationsRead']> {
    return this.server.ask('POST', '/api/notifications/read', { body: ids ? { ids } : {} });
  }
}
