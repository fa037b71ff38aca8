import { Emitter, call } from '../emitter.js';
import { type Batch, readCompact } from '../poses/batch.js';
import { Playback } from '../poses/playback.js';
import type { Link } from '../space/link.js';
import type { FromServer, Member, Snapshot, VoiceState } from '../wire/index.js';
import { Person } from './person.js';

/** Why somebody left: left, disconnected, lost, replaced, kicked; and which connection of theirs goes on in their place. */
export interface Leave { reason: string; successor?: string }

export interface PeopleEvents {
  /** Somebody is here. A new listener is called at once for those who are. */
  enter: [person: Person];
  leave: [person: Person, why: Leave];
  /** They said something of their microphone or screen. */
  voice: [person: Person];
  avatar: [person: Person];
  /** A pose came, as it is: `person.data` holds it. For what `pose` does not say. */
  pose: [person: Person];
}

/** The others in a space. */
export class People extends Emitter<PeopleEvents> implements Iterable<Person> {
  readonly #all: Person[] = [];
  readonly #byId = new Map<string, Person>();
  readonly #names = new Map<number, string>(); // of the compact poses
  readonly #playback = new Playback();

  /** @internal */
  constructor(link: Link) {
    super();
    link.hear('user-joined', (member) => this.#enter(member));
    link.hear('user-left', ({ socketId, reason, successor }) => this.#leave(socketId, { reason, successor }));
    link.hear('aframe-batch', (batch) => this.#batch(batch as Batch));
    link.hear('aframe-update', (pose) => this.#single(pose));
    link.hear('voice-state', ({ socketId, userAccount: _, ...voice }) => this.#voice(socketId, voice));
    link.hear('avatar-updated', ({ socketId, avatar_data }) => this.#avatar(socketId, avatar_data));
  }

  /** How many others are here. */
  get size(): number {
    return this.#all.length;
  }

  get(id: string): Person | undefined {
    return this.#byId.get(id);
  }

  [Symbol.iterator](): Iterator<Person> {
    return this.#all[Symbol.iterator]();
  }

  /** Moves everybody to this moment and calls `visit` with each who is in range. Once a frame; makes no garbage. */
  each(visit: (person: Person) => void): void {
    this.#playback.frame(performance.now());
    for (let i = 0; i < this.#all.length; i++) {
      const person = this.#all[i]!;
      if (!person.near) continue;
      person.advance(this.#playback);
      visit(person);
    }
  }

  override on<Name extends keyof PeopleEvents>(name: Name, listener: (...args: PeopleEvents[Name]) => void): this {
    super.on(name, listener);
    if (name === 'enter') for (const person of [...this.#all]) call(listener as (person: Person) => void, [person]);
    return this;
  }

  /** @internal Takes who is here now: what happened meanwhile is told as if it had been heard. */
  reset({ users }: Snapshot): void {
    this.#names.clear();
    const here = new Set(users.map(({ socketId }) => socketId));
    for (const { id } of [...this.#all]) if (!here.has(id)) this.#leave(id, { reason: 'lost' });
    for (const member of users) this.#enter(member);
  }

  /** @internal Everybody is gone: one is out of the space. */
  clear(): void {
    for (const { id } of [...this.#all]) this.#leave(id, { reason: 'left' });
  }

  #enter(member: Member): void {
    if (this.#byId.has(member.socketId)) return;
    const person = new Person(member, this.#playback.newest);
    this.#byId.set(person.id, person);
    this.#all.push(person);
    this.emit('enter', person);
  }

  #leave(id: string, why: Leave): void {
    const person = this.#byId.get(id);
    if (!person) return;
    this.#byId.delete(id);
    this.#all.splice(this.#all.indexOf(person), 1);
    this.emit('leave', person, why);
  }

  #batch({ t, poses = [], gone = [], away = [], names = [], compact }: Batch): void {
    this.#playback.arrived(t, performance.now());
    for (const [number, id] of names as unknown as [number, string][]) this.#names.set(number, id);
    for (const [id, data] of poses as unknown as [string, Record<string, unknown>][]) this.#moved(t, id, data);
    readCompact(compact, this.#names, (id, position, rotation) => {
      this.#moved(t, id, { position: { ...position }, rotation: { ...rotation } });
    });
    for (const id of [...away, ...gone]) this.#away(id);
  }

  #single({ socketId, entityData, timestamp }: FromServer['aframe-update']): void {
    const t = Date.parse(timestamp);
    this.#playback.arrived(t, performance.now());
    this.#moved(t, socketId, entityData as Record<string, unknown>);
  }

  #moved(t: number, id: string, data: Record<string, unknown>): void {
    const person = this.#byId.get(id);
    if (!person) return; // left already, or oneself
    person.moved(t, data);
    this.emit('pose', person);
  }

  #away(id: string): void {
    this.#byId.get(id)?.away();
  }

  #voice(id: string, voice: VoiceState): void {
    const person = this.#byId.get(id);
    if (!person) return;
    person.voice = voice;
    this.emit('voice', person);
  }

  #avatar(id: string, avatar: unknown): void {
    const person = this.#byId.get(id);
    if (!person) return;
    person.avatar = avatar;
    this.emit('avatar', person);
  }
}
