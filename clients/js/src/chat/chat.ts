import { Emitter, call } from '../emitter.js';
import { patiently } from '../identity/login.js';
import type { Server } from '../server.js';
import type { Link } from '../space/link.js';
import { type Key, pathOf } from '../space/key.js';
import type { Message, Reactions, Snapshot } from '../wire/index.js';
import type { components } from '../wire/rest.js';
import { Messages } from './messages.js';
import { Typing } from './typing.js';

type Schemas = components['schemas'];
type Page = { messages: Message[]; has_more: boolean; next_cursor: string | null };

const PAGE = 200;
const MOST_REFILLED = 2_000; // messages; whoever missed more begins with the newest of them

export interface ChatEvents {
  /** A message, each once and in the space's order. A new listener is called at once with those that are known. */
  message: [message: Message];
  /** A message that is known changed: its words, its reactions, its count of replies; or it was deleted. */
  change: [message: Message];
  /** Somebody began to write, or stopped. */
  typing: [who: { id: string; name: string }, typing: boolean];
  /** How many messages of others one has not read; accounts only. */
  unread: [count: number];
}

/** What `say` takes beside the words. `to` is the message that is answered, `key` what makes a retry of yours the same message. */
export interface SayOptions { to?: Message | string; type?: string; key?: string }

/** The chat of a space. What resolves is stored; what is said while one is away is sent after the return, once. */
export class Chat extends Emitter<ChatEvents> {
  readonly #known = new Messages();
  readonly #typing: Typing;
  readonly #path: string;
  #unread: number | null = null;

  /** @internal */
  constructor(
    private readonly link: Link,
    private readonly server: Server,
    private readonly key: Key,
    isNews: (seq: number) => boolean,
  ) {
    super();
    this.#path = `/api/chat/${pathOf(key)}`;
    this.#typing = new Typing(link, (id, name, typing) => this.emit('typing', { id, name }, typing));
    const news = (event: object): boolean => isNews((event as { seq: number }).seq);
    link.hear('chat-message', (message) => { if (news(message)) this.#came(message as Message); });
    link.hear('chat-message-edited', (event) => { if (news(event)) this.#changed(this.#known.edit(event)); });
    link.hear('chat-message-deleted', (event) => {
      if (!news(event)) return;
      this.#changed(this.#known.delete(event));
      this.#changed(this.#known.count(event.parent_message_id, -1));
    });
    link.hear('chat-reaction', (event) => {
      if (news(event)) this.#changed(this.#known.react(event.messageId, event.reactions as Reactions));
    });
  }

  /** The messages that are known, oldest first: the newest fifty on entering, all that came since, and what `history` got. */
  get messages(): readonly Message[] {
    return this.#known.list;
  }

  /** How many messages of others one has not read; null before `subscription` was asked. */
  get unread(): number | null {
    return this.#unread;
  }

  override on<Name extends keyof ChatEvents>(name: Name, listener: (...args: ChatEvents[Name]) => void): this {
    super.on(name, listener);
    if (name === 'message') for (const message of [...this.#known.list]) call(listener as (one: Message) => void, [message]);
    return this;
  }

  /** Says something. Resolves with the message once it is stored; rejects with the reason (`slow_mode`, `muted`, ...) else. */
  async say(content: string, { to, type, key = newKey() }: SayOptions = {}): Promise<Message> {
    this.#typing.stop();
    const ack = await this.link.command('chat-message', {
      content, client_message_id: key,
      ...(to === undefined ? {} : { parent_message_id: idOf(to) }),
      ...(type === undefined ? {} : { message_type: type }),
    });
    return this.#stored(ack['message']);
  }

  /** Changes one's own words. */
  async edit(message: Message | string, content: string): Promise<Message> {
    const ack = await this.link.command('chat-edit', { messageId: idOf(message), content, client_message_id: newKey() });
    return this.#stored(ack['message']);
  }

  /** Takes one's own words back, or as a moderator another's. */
  async delete(message: Message | string, reason?: string): Promise<Message> {
    const ack = await this.link.command('chat-delete', { messageId: idOf(message), ...(reason ? { reason } : {}) });
    return this.#stored(ack['message']);
  }

  /** Reacts with one emoji; resolves with all of the message's reactions. */
  react(message: Message | string, reaction: string): Promise<Reactions> {
    return this.#react(message, reaction, false);
  }

  /** Takes a reaction back. */
  unreact(message: Message | string, reaction: string): Promise<Reactions> {
    return this.#react(message, reaction, true);
  }

  /** Says to the others that one is writing. At every key, if you like. */
  typing(): void {
    this.#typing.say();
  }

  /** Older messages than those that are known, oldest first; an empty list at the beginning of everything. They are known then. */
  async history(limit = 50): Promise<Message[]> {
    const page = await this.#page({ before: this.#known.list[0]?.id, limit });
    return page.messages.filter((message) => this.#known.add(message));
  }

  /** Messages with all these words (`"in a row"`, `-without`), newest page first; `cursor` continues. */
  search(words: string, cursor?: string): Promise<Page> {
    return this.#page({ q: words, cursor });
  }

  /** The replies to a message, oldest first; `cursor` continues. */
  thread(message: Message | string, cursor?: string): Promise<Page> {
    return this.server.ask('GET', `/api/chat/messages/${idOf(message)}/thread`, { query: { cursor } });
  }

  /** What a message said before it was edited. */
  edits(message: Message | string, cursor?: string): Promise<Schemas['MessageHistory']> {
    return this.server.ask('GET', `/api/chat/messages/${idOf(message)}/history`, { query: { cursor } });
  }

  /** Says how far one has read: up to this message, or the newest that is known; with `thread` in that thread alone. */
  async read(message: Message | string | undefined = this.#known.list.at(-1), thread?: Message | string): Promise<void> {
    if (message === undefined) return;
    const ack = await this.link.command('chat-read', {
      messageId: idOf(message), ...(thread === undefined ? {} : { threadId: idOf(thread) }),
    });
    if (thread === undefined) this.#count(ack['unread'] as number);
  }

  /** One's notification level, how far one has read, and how many messages are unread; accounts only. */
  async subscription(): Promise<Schemas['ChatSubscription']> {
    const found = await this.server.ask<Schemas['ChatSubscription']>('GET', `${this.#path}/subscription`);
    this.#count(found.subspaces.find(({ subspace }) => subspace === this.key.subspace)?.unread ?? 0);
    return found;
  }

  /** Of which messages one is notified: all, mentions and replies, or none. */
  notify(level: 'all' | 'mentions' | 'none'): Promise<Schemas['ChatSubscription']> {
    return this.server.ask('PUT', `${this.#path}/subscription`, { body: { level } });
  }

  /** @internal The messages of a snapshot, with those before it that were missed after the number `seq`. */
  async fetched(snapshot: Snapshot, seq: number | null, isCurrent: () => boolean): Promise<Message[]> {
    let found = snapshot.messages;
    if (seq === null) return found;
    const from = Math.min(seq + 1, this.#known.list[0]?.seq ?? Infinity); // known ones may have changed
    while (found.length && found[0]!.seq > from && found.length < MOST_REFILLED && isCurrent()) {
      const { messages } = await this.#page({ before: found[0]!.id, limit: PAGE });
      if (!messages.length) break;
      found = [...messages, ...found];
    }
    return found;
  }

  /** @internal Takes what `fetched` found: it is the truth, from its first message on. */
  take(messages: Message[]): void {
    if (messages[0]) this.#known.forgetBelow(messages[0].seq);
    for (const message of messages) {
      if (this.#known.add(message)) this.emit('message', message);
      else this.#changed(this.#known.update(message));
    }
  }

  #page(query: Record<string, string | number | undefined>): Promise<Page> {
    return patiently(() => this.server.ask('GET', `${this.#path}/messages`, { query: { subspace: this.key.subspace, ...query } }));
  }

  async #react(message: Message | string, reaction: string, remove: boolean): Promise<Reactions> {
    const payload = { messageId: idOf(message), reaction, remove, client_message_id: newKey() };
    return (await this.link.command('chat-reaction', payload))['reactions'] as Reactions;
  }

  #came(message: Message): void {
    if (!this.#known.add(message)) return;
    this.emit('message', message);
    this.#changed(this.#known.count(message.parent_message_id, 1));
    const isOthers = this.#unread !== null && message.parent_message_id === null && message.user_account !== this.server.login.account;
    if (isOthers) this.#count(this.#unread! + 1);
  }

  #changed(message: Message | null): void {
    if (message) this.emit('change', message);
  }

  #count(unread: number): void {
    if (unread !== this.#unread) this.emit('unread', (this.#unread = unread));
  }

  #stored(message: unknown): Message {
    return this.#known.get((message as Message).id) ?? (message as Message);
  }
}

const idOf = (message: Message | string): string => (typeof message === 'string' ? message : message.id);

// `crypto.randomUUID` is for secure pages only.
const newKey = (): string => (
  globalThis.crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
);
