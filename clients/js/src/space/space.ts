import { Chat } from '../chat/chat.js';
import { Emitter } from '../emitter.js';
import { PresenceError } from '../errors.js';
import { Me } from '../people/me.js';
import { People } from '../people/people.js';
import type { Server } from '../server.js';
import type { Content, FromServer, Settings, Snapshot, Vector } from '../wire/index.js';
import { wait } from '../identity/login.js';
import { type Key, pathOf } from './key.js';
import { Things } from '../things/things.js';
import { Link, type Owner, type State } from './link.js';
import { Moderation, Roles } from './moderation.js';

const CONTENT_TRIES = 10;
const CONTENT_PAUSE_MS = 2_000;

export interface SpaceEvents {
  /** The state changed; `reason` says why one is away or out. */
  state: [state: State, reason?: PresenceError];
  /** All settings, as they are now. */
  settings: [settings: Settings];
  /** Something that is neither merged nor kept in order by others: spawns, removals, moves in a game. */
  entity: [event: FromServer['entity-event']];
  /** A comment on the space's document changed. */
  comment: [event: FromServer['document-comment']];
}

/** How to enter: where one is at first, and what one looks like. */
export interface EnterOptions { subspace?: string; position?: Vector; avatar?: unknown }

/** A space that one is in, until `leave`, or until the server says that one is out. */
export class Space extends Emitter<SpaceEvents> {
  readonly people: People;
  readonly me: Me;
  readonly chat: Chat;
  readonly things: Things;
  readonly moderation: Moderation;
  readonly roles: Roles;
  settings: Settings = {};
  /** What was spawned and is here, as on the last entering. */
  entities: readonly unknown[] = [];
  readonly type: string;
  readonly id: string;
  readonly subspace: string;
  /** @internal */
  readonly link: Link;
  /** @internal */
  readonly server: Server;
  /** @internal Whether one takes part in voice. */
  speaks = false;
  readonly #path: string;
  #inheritsVoice = false; // of the page that was here before: the others think that one takes part
  #seq: number | null = null;
  #entered: { resolve(): void; reject(error: PresenceError): void } | null = null;

  /** @internal */
  constructor(server: Server, key: Key, { position, avatar }: EnterOptions) {
    super();
    this.server = server;
    ({ type: this.type, id: this.id, subspace: this.subspace } = key);
    this.#path = pathOf(key);
    const owner: Owner = {
      get seq() { return self.#seq; },
      position: () => this.me.position,
      welcome: (snapshot, isCurrent) => this.#welcome(snapshot, isCurrent),
      changed: (state, reason) => this.#changed(state, reason),
    };
    const self = this;
    this.link = new Link(server.url, key, server.login, owner);
    this.link.avatar = avatar;
    this.me = new Me(this.link);
    if (position) this.me.move({ position });
    this.people = new People(this.link);
    this.chat = new Chat(this.link, server, key, (seq) => this.#isNews(seq));
    this.things = new Things(this.link);
    this.moderation = new Moderation(server, this.#path);
    this.roles = new Roles(server, this.#path);
    this.link.hear('space-updated', (event) => this.#durable(event, ({ settings }) => this.#set(settings as never)));
    this.link.hear('document-comment', (event) => this.#durable(event, () => this.emit('comment', event)));
    this.link.hear('entity-event', (event) => this.emit('entity', event));
  }

  /** `live`, `catching up`, `away` or `out`. */
  get state(): State {
    return this.link.state;
  }

  /** Why one is away or out. */
  get reason(): PresenceError | undefined {
    return this.link.reason;
  }

  /** What the space is made of: title, text, pictures, scene. Waits while its text is on its way. */
  async content(): Promise<Content> {
    for (let tries = 1; ; tries++) {
      const content = await this.server.ask<Content & { pending?: boolean }>('GET', `/api/spaces/${this.#path}/content`);
      if (!content.pending || tries === CONTENT_TRIES) return content;
      await wait(CONTENT_PAUSE_MS);
    }
  }

  /**
   * Tells the others (or with `to` one of them) something that is not merged with what came before. Once: `offline` and
   * `timeout` say that nobody knows whether they heard it.
   */
  async tell(name: string, data: unknown, to?: string): Promise<void> {
    await this.link.deliver('entity-event', { name, data, ...(to === undefined ? {} : { to }) });
  }

  /** Changes settings of the space: its owner and moderators. */
  async change(settings: Settings): Promise<void> {
    await this.server.ask('PATCH', `/api/spaces/${this.#path}/settings`, { body: settings });
  }

  /** Leaves: for the others one is gone at once. */
  async leave(): Promise<void> {
    await this.link.leave();
  }

  /** @internal Enters; resolves once live. */
  enter(): Promise<this> {
    return new Promise((resolve, reject) => {
      this.#entered = { resolve: () => resolve(this), reject };
      this.link.open();
    });
  }

  // Each durable event has the space's next number: what was taken is not taken again.
  #isNews(seq: number): boolean {
    if (this.#seq === null || seq <= this.#seq) return false;
    this.#seq = seq;
    return true;
  }

  #durable<Event>(event: Event, take: (event: Event) => void): void {
    const { seq } = event as { seq?: number };
    if (seq === undefined || this.#isNews(seq)) take(event);
  }

  async #welcome(snapshot: Snapshot, isCurrent: () => boolean): Promise<void> {
    const isFirst = this.#seq === null;
    const isHole = isFirst || snapshot.gap === true;
    const caughtUp = isHole ? await this.chat.fetched(snapshot, this.#seq, isCurrent) : null;
    if (!isCurrent()) return;
    Object.assign(this.me, {
      id: this.link.id, name: snapshot.you.displayName, account: snapshot.you.userAccount ?? null, role: snapshot.role,
    });
    const voice = snapshot.you.voice as { enabled?: boolean; screen?: boolean } | null | undefined;
    this.#inheritsVoice = Boolean(voice?.enabled || voice?.screen);
    this.entities = snapshot.entities;
    this.people.reset(snapshot);
    this.things.reset(snapshot);
    if (isHole) this.#seq = snapshot.seq;
    if (caughtUp) this.chat.take(caughtUp);
    if (isHole) this.#set(snapshot.settings);
  }

  #set(settings: Settings): void {
    this.settings = settings;
    this.emit('settings', settings);
  }

  #changed(state: State, reason?: PresenceError): void {
    if (state === 'live') this.me.again();
    if (state === 'live' && this.#inheritsVoice && !this.speaks) {
      this.link.send('voice-state', { enabled: false, muted: true, screen: false });
    }
    if (state === 'out') {
      this.people.clear();
      this.things.clear(reason ?? new PresenceError('left'));
    }
    this.emit('state', state, reason);
    if (state === 'live') this.#entered?.resolve();
    if (state === 'out') this.#entered?.reject(reason ?? new PresenceError('left'));
  }
}
