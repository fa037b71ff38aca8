import { type Socket, io } from 'socket.io-client';
import { PresenceError, isOver } from '../errors.js';
import { wait } from '../identity/login.js';
import type { Login } from '../identity/login.js';
import type { FromServer, Snapshot, ToServer, Vector } from '../wire/index.js';
import type { Key } from './key.js';
import { type Ack, Outbox } from './outbox.js';

/**
 * `live`: everything arrives. `catching up`: inside, and what was missed is being fetched. `away`: the connection is
 * lost, and it comes back by itself. `out`: it does not come back by itself; the reason's `code` says why.
 */
export type State = 'live' | 'catching up' | 'away' | 'out';

/** What a link asks of the space that it belongs to. */
export interface Owner {
  /** The number of the last durable event that was taken; null before the first snapshot. */
  readonly seq: number | null;
  /** Where one is, if one said. */
  position(): Vector | undefined;
  /** Takes a snapshot: who is here, and what was missed where that is not sent again. `isNew` may be asked meanwhile. */
  welcome(snapshot: Snapshot, isCurrent: () => boolean): Promise<void>;
  changed(state: State, reason?: PresenceError): void;
}

type Hear = (payload: never) => void;

const ACK_MS = 10_000;
const JOIN_MS = 20_000;
const LEAST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 5_000;
export const FEATURES = ['pose-batch', 'pose-compact', 'interest'];

/** One space's connection: made again whenever it breaks, joined again, and nothing told twice. */
export class Link {
  state: State = 'catching up';
  reason: PresenceError | undefined;
  avatar: unknown;
  /** All ids that one's socket ever had here. */
  readonly ids = new Set<string>();
  readonly #hear = new Map<string, Hear[]>();
  readonly #outbox: Outbox;
  readonly #socket: Socket;
  readonly #forget: () => void;
  #waitingForLive: (() => void)[] = [];
  #queue: [string, unknown][] | null = []; // what comes while catching up
  #snapshot: Snapshot | null = null;
  #life = 0; // counts connections and joins: what was begun in an older one is dropped
  #token: string | undefined;
  #hasRenewed = false; // since it was live
  #renewal: Promise<void> = Promise.resolve(); // the one under way
  #pause = LEAST_PAUSE_MS;

  constructor(url: string, private readonly key: Key, private readonly login: Login, private readonly owner: Owner) {
    this.#outbox = new Outbox((event, payload) => this.deliver(event, payload));
    this.#socket = io(url, {
      autoConnect: false, forceNew: true, transports: ['websocket', 'polling'], tryAllTransports: true,
      reconnectionDelay: LEAST_PAUSE_MS, reconnectionDelayMax: MOST_PAUSE_MS,
      auth: (give) => this.#show(give),
    });
    this.#socket.on('connect', () => this.#join());
    this.#socket.on('disconnect', (reason) => this.#lost(reason));
    this.#socket.on('connect_error', (error) => this.#refused((error as { data?: unknown }).data));
    this.#socket.onAny((event: string, payload: unknown) => this.#arrived(event, payload));
    this.#forget = login.onRenewed((token) => this.#refresh(token));
  }

  get live(): boolean {
    return this.state === 'live';
  }

  get id(): string {
    return this.#socket.id ?? '';
  }

  /** Begins, and comes back until it is told to be out. */
  open(): void {
    this.#socket.connect();
  }

  /** Calls `hear` with each event of that name, in the space's order. */
  hear<Name extends keyof FromServer>(event: Name, hear: (payload: FromServer[Name]) => void): void {
    this.#hear.set(event, [...(this.#hear.get(event) ?? []), hear as Hear]);
  }

  /** Sends what counts at this moment only: away, it is dropped. */
  send<Name extends keyof ToServer>(event: Name, payload: Partial<ToServer[Name]>): void {
    if (this.live && this.#socket.connected) this.#socket.emit(event, payload);
  }

  /** Sends what must be carried out once: resolves with the ack, however often the connection breaks meanwhile. */
  command(event: keyof ToServer, payload: Record<string, unknown>): Promise<Ack> {
    return this.#outbox.command(event, payload);
  }

  /**
   * Sends once, as soon as one is in the space; resolves with the ack. `offline` and `timeout`: nobody knows what became
   * of it. `conflict` where it may not be sent any more then.
   */
  async deliver(event: string, payload: Record<string, unknown>, may = () => true): Promise<Ack> {
    while (!this.live) {
      if (this.reason && this.state === 'out') throw this.reason;
      await new Promise<void>((resolve) => { this.#waitingForLive.push(resolve); });
    }
    if (!may()) throw new PresenceError('conflict');
    return this.#ask(event, payload, ACK_MS);
  }

  /** Asks the server's clock: its time in milliseconds, and how long the question took. */
  async time(): Promise<{ time: number; took: number }> {
    const began = performance.now();
    const { time } = await this.deliver('time', {}) as Ack & { time: number };
    return { time, took: performance.now() - began };
  }

  /** Leaves for good. */
  async leave(): Promise<void> {
    if (this.live) await this.#ask('leave-space', {}, ACK_MS).catch(() => {});
    this.#end(new PresenceError('left', 'You left.'));
  }

  // --- the connection

  async #show(give: (auth: object) => void): Promise<void> {
    const { engine } = this.#socket.io;
    const isOld = (): boolean => engine !== this.#socket.io.engine; // another connection asks for itself
    try {
      await this.#renewal;
      this.#token = await this.login.token();
      if (!isOld()) give({ token: this.#token });
    } catch (error) { // never as somebody without a token instead
      if (isOld()) return;
      const failed = PresenceError.of(error);
      if (failed.temporary) this.#socket.io.engine.close();
      else this.#end(failed);
    }
  }

  #lost(reason: string): void {
    if (this.state === 'out') return;
    this.#begin('away');
    if (reason === 'io server disconnect') void this.#again();
  }

  #refused(data: unknown): void {
    if (this.state === 'out') return;
    if (data) void this.#renewed(PresenceError.of(data));
    else {
      this.#change('away', new PresenceError('offline', 'The server was not reached.'));
      if (!this.#socket.active) void this.#again(); // refused without a word: it does not come back by itself
    }
  }

  // Another token, once; then the connection is made again. What no token helps against is the end.
  async #renewed(failed: PresenceError): Promise<void> {
    if (!failed.temporary && (!isOver(failed) || this.#hasRenewed)) return this.#end(failed);
    if (isOver(failed)) await this.#renew();
    return this.#again();
  }

  #renew(): Promise<void> {
    this.#hasRenewed = true;
    this.#renewal = this.login.renew(this.#token).then(() => {}, (error: unknown) => {
      const why = PresenceError.of(error);
      if (why.temporary) this.#hasRenewed = false;
      else this.#end(why);
    });
    return this.#renewal;
  }

  // socket.io-client does not come back by itself where the server ended or refused the namespace.
  async #again(): Promise<void> {
    const life = this.#life;
    await this.#rest();
    if (life === this.#life && this.state !== 'out') this.#socket.disconnect().connect();
  }

  #rest(seconds?: number): Promise<void> {
    const pause = seconds === undefined ? this.#pause : seconds * 1000;
    this.#pause = Math.min(this.#pause * 2, MOST_PAUSE_MS);
    return wait(pause * (0.75 + Math.random() / 2));
  }

  async #refresh(token: string): Promise<void> {
    if (!this.#socket.connected || token === this.#token) return;
    try {
      await this.#ask('auth-refresh', { token }, ACK_MS);
      this.#token = token;
    } catch (error) { // another guest's, or nobody there: once the old one ran out, it connects with the new one
      if (PresenceError.of(error).temporary && this.#socket.connected) setTimeout(() => void this.#refresh(token), ACK_MS);
    }
  }

  // --- joining

  async #join(): Promise<void> {
    const life = this.#begin('catching up');
    this.ids.add(this.id);
    try {
      await this.#ask('join-space', this.#request(), JOIN_MS);
      if (life === this.#life && this.#snapshot) await this.#catchUp(life, this.#snapshot);
    } catch (error) {
      if (life === this.#life) await this.#failed(PresenceError.of(error), life);
    }
  }

  #request(): Record<string, unknown> {
    const { seq } = this.owner;
    const position = this.owner.position();
    return {
      spaceType: this.key.type, spaceId: this.key.id, subspace: this.key.subspace, features: FEATURES,
      ...(seq === null ? {} : { after_seq: seq }),
      ...(position ? { position } : {}),
      ...(this.avatar === undefined ? {} : { avatar_data: this.avatar }),
    };
  }

  async #catchUp(life: number, snapshot: Snapshot): Promise<void> {
    await this.owner.welcome(snapshot, () => life === this.#life);
    if (life !== this.#life) return;
    const queue = this.#queue ?? [];
    this.#queue = null;
    for (const [event, payload] of queue) this.#tell(event, payload);
    this.#hasRenewed = false;
    this.#pause = LEAST_PAUSE_MS;
    this.#change('live');
    for (const go of this.#waitingForLive.splice(0)) go();
  }

  async #failed(failed: PresenceError, life: number): Promise<void> {
    if (failed.code === 'offline' && !this.#socket.connected) return; // it comes back, and joins then
    if (failed.code === 'timeout' || this.#snapshot) return void this.#socket.io.engine.close(); // who is in is told nothing again
    if (isOver(failed)) return this.#renewed(failed);
    if (!failed.temporary || (failed.code === 'space_full' && this.owner.seq === null)) return this.#end(failed);
    this.#change('away', failed);
    await this.#rest(failed.retryAfter);
    if (life === this.#life) await this.#join();
  }

  // --- what comes and goes

  #arrived(event: string, payload: unknown): void {
    if (this.state === 'out') return;
    if (event === 'space-joined') this.#snapshot = payload as Snapshot;
    else if (event === 'kicked') this.#end(PresenceError.of(payload, 'kicked'));
    else if (isExpiry(event, payload) && !this.#hasRenewed) void this.#renew(); // the server closes the connection now
    else if (this.#queue) this.#queue.push([event, payload]);
    else this.#tell(event, payload);
  }

  #tell(event: string, payload: unknown): void {
    for (const hear of this.#hear.get(event) ?? []) hear(payload as never);
  }

  async #ask(event: string, payload: object, patience: number): Promise<Ack> {
    const ack = await (this.#socket.timeout(patience).emitWithAck(event, payload) as Promise<Ack>).catch(() => {
      throw this.#socket.connected
        ? new PresenceError('timeout', 'No answer came in time.')
        : new PresenceError('offline', 'The connection was lost.');
    });
    if (!ack.ok) throw PresenceError.of(ack);
    return ack;
  }

  // A new life: whatever is under way belongs to the one before.
  #begin(state: State): number {
    this.#queue = [];
    this.#snapshot = null;
    this.#change(state);
    return ++this.#life;
  }

  #end(reason: PresenceError): void {
    if (this.state === 'out') return;
    this.#life++;
    this.#queue = null;
    this.#change('out', reason);
    this.#forget();
    this.#outbox.close(reason);
    for (const go of this.#waitingForLive.splice(0)) go();
    this.#socket.disconnect();
  }

  #change(state: State, reason?: PresenceError): void {
    const isSame = state === this.state && reason?.code === this.reason?.code;
    this.state = state;
    this.reason = reason;
    if (!isSame) this.owner.changed(state, reason);
  }
}

const isExpiry = (event: string, payload: unknown): boolean => (
  event === 'space-error' && (payload as { code?: string } | null)?.code === 'session_expired'
);
