import { Emitter, call } from '../emitter.js';
import { PresenceError } from '../errors.js';
import type { Link } from '../space/link.js';
import type { FromServer, Snapshot } from '../wire/index.js';
import { type Fields, Thing } from './thing.js';

type Wire = FromServer['thing-made'];

export interface ThingsEvents {
  /** A thing is here. A new listener is called at once for those that are. */
  enter: [thing: Thing];
  /** Its state or its holder changed. */
  change: [thing: Thing];
  leave: [thing: Thing];
}

/** The objects of a space that several people use, one at a time: the server decides each change, the same for everybody. */
export class Things extends Emitter<ThingsEvents> implements Iterable<Thing> {
  readonly #here = new Map<string, Thing>();
  readonly #asked = new Map<string, Thing>(); // made here, and not heard of yet

  /** @internal */
  constructor(private readonly link: Link) {
    super();
    link.hear('thing-made', (thing) => this.#made(thing));
    link.hear('thing-held', ({ id, version, holder }) => this.#passed(id, version, holder));
    link.hear('thing-released', ({ id, version }) => this.#passed(id, version, null));
    link.hear('thing-set', ({ id, version, state }) => {
      const thing = this.#here.get(id);
      if (thing?.lay(version, state)) this.emit('change', thing);
    });
    link.hear('thing-removed', ({ id, version }) => {
      const thing = this.#here.get(id);
      if (thing && version >= thing.version) this.#gone(thing);
    });
  }

  /**
   * Makes a thing, or finds the one of that id: everybody who makes `ball` has the same ball, in the state of who was
   * first. With `hold` a new one is in one's hand from the beginning. State: 64 fields, 4 KiB.
   */
  make<State extends object = Fields>(id: string, state: State = {} as State, { hold = false } = {}): Thing<State> {
    const known = this.#here.get(id) ?? this.#asked.get(id);
    if (known) return known as Thing<never> as Thing<State>;
    const thing = this.#thing(id, state as Fields).make(hold);
    this.#asked.set(id, thing);
    thing.ready.catch(() => {
      if (this.#asked.get(id) === thing) this.#asked.delete(id);
      thing.end();
    });
    return thing as Thing<never> as Thing<State>;
  }

  get<State extends object = Fields>(id: string): Thing<State> | undefined {
    return this.#here.get(id) as Thing<never> | undefined;
  }

  /** How many there are. */
  get size(): number {
    return this.#here.size;
  }

  [Symbol.iterator](): Iterator<Thing> {
    return this.#here.values();
  }

  override on<Name extends keyof ThingsEvents>(name: Name, listener: (...args: ThingsEvents[Name]) => void): this {
    super.on(name, listener);
    if (name === 'enter') for (const thing of [...this.#here.values()]) call(listener as (thing: Thing) => void, [thing]);
    return this;
  }

  /** @internal Takes what is here now: what happened meanwhile is told as if it had been heard. */
  reset({ things }: Snapshot): void {
    const here = new Set(things.map(({ id }) => id));
    for (const thing of [...this.#here.values()]) if (!here.has(thing.id)) this.#gone(thing);
    for (const thing of things) this.#made(thing, true);
  }

  /** @internal Nothing is here: one is out of the space. */
  clear(reason: PresenceError): void {
    for (const thing of [...this.#asked.values()]) thing.end(reason);
    for (const thing of [...this.#here.values()]) this.#gone(thing, reason);
    this.#asked.clear();
  }

  #made(as: Wire, isSnapshot = false): void {
    const known = this.#here.get(as.id);
    if (known) {
      if (known.become(as, isSnapshot)) this.emit('change', known);
      return;
    }
    const thing = this.#asked.get(as.id) ?? this.#thing(as.id, as.state);
    this.#asked.delete(as.id);
    this.#here.set(as.id, thing);
    thing.become(as);
    this.emit('enter', thing);
  }

  #thing(id: string, state: Fields): Thing {
    return new Thing(id, state, this.link, (as) => this.#told(as));
  }

  // By an ack: the event comes too, and is then known.
  #told(as: Wire): void {
    const known = this.#here.get(as.id);
    if (known?.become(as)) this.emit('change', known);
    else this.#asked.get(as.id)?.become(as);
  }

  #passed(id: string, version: number, holder: string | null): void {
    const thing = this.#here.get(id);
    if (thing?.pass(version, holder)) this.emit('change', thing);
  }

  #gone(thing: Thing, reason?: PresenceError): void {
    this.#here.delete(thing.id);
    thing.end(reason);
    this.emit('leave', thing);
  }
}
