import { type ShallowRef, markRaw, shallowRef } from 'vue';
import type { Person } from '../people/person.js';
import type { Fields, Thing } from '../things/thing.js';
import type { VoiceState } from '../wire/index.js';

/** A person as they are now: another object whenever something of them changes. `person` is who they are all the time. */
export interface ShownPerson {
  id: string;
  name: string;
  account: string | null;
  guest: boolean;
  avatar: unknown;
  voice: VoiceState | null;
  person: Person;
}

/** A thing as it is now. `thing` is what to hold, set and release. */
export interface ShownThing {
  id: string;
  state: Readonly<Fields>;
  holder: string | null;
  mine: boolean;
  thing: Thing;
}

export const shownPerson = (person: Person): ShownPerson => {
  const { id, name, account, guest, avatar, voice } = person;
  return { id, name, account, guest, avatar, voice, person: markRaw(person) };
};

export const shownThing = (thing: Thing): ShownThing => {
  const { id, state, holder, mine } = thing;
  return { id, state, holder, mine, thing: markRaw(thing) };
};

/** A list for templates that follows another: an item that changed is another object, the others stay the same. */
export class Shown<Item extends { id: string }, As> {
  readonly list: ShallowRef<readonly As[]> = shallowRef([]);
  readonly #as = new Map<string, As>();
  #isDue = false;

  constructor(private readonly source: () => Iterable<Item>, private readonly show: (item: Item) => As) {}

  /** Something came or went, or this item changed; the list follows once for all that happens at the same time. */
  readonly changed = (item?: Item): void => {
    if (item) this.#as.delete(item.id);
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#follow());
  };

  #follow(): void {
    this.#isDue = false;
    const items = [...this.source()];
    const here = new Set(items.map(({ id }) => id));
    for (const id of [...this.#as.keys()]) if (!here.has(id)) this.#as.delete(id);
    this.list.value = items.map((item) => this.#as.get(item.id) ?? this.#shown(item));
  }

  #shown(item: Item): As {
    const as = this.show(item);
    this.#as.set(item.id, as);
    return as;
  }
}
