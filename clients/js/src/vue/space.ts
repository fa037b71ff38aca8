import { type MaybeRefOrGetter, type Ref, type ShallowRef, markRaw, onScopeDispose, ref, shallowRef, toValue, watch } from 'vue';
import type { SayOptions } from '../chat/chat.js';
import { PresenceError } from '../errors.js';
import type { State } from '../space/link.js';
import type { EnterOptions, Space } from '../space/space.js';
import type { Message, Settings } from '../wire/index.js';
import { type PresenceInVue, begin, foundPresence } from './presence.js';
import { Shown, type ShownPerson, type ShownThing, shownPerson, shownThing } from './shown.js';

/** Beside how to enter: what `usePresence` returned, where that was not called in this component or one above. */
export interface UseSpaceOptions extends EnterOptions { from?: PresenceInVue }

export interface SpaceInVue {
  /** Null until one is in it, and after the end. */
  space: ShallowRef<Space | null>;
  /** `catching up` until one is in it for the first time; then `live`, `catching up`, `away` or `out`. */
  state: Ref<State>;
  /** Why one is away or out, or may not enter. */
  reason: ShallowRef<PresenceError | null>;
  people: ShallowRef<readonly ShownPerson[]>;
  messages: ShallowRef<readonly Message[]>;
  things: ShallowRef<readonly ShownThing[]>;
  settings: ShallowRef<Settings>;
  /** The names of those who write. */
  typing: ShallowRef<readonly string[]>;
  /** Says something, once one is in the space. Resolves when it is stored. */
  say(content: string, options?: SayOptions): Promise<Message>;
}

/** Enters a space, leaves it with the component, and enters another where the key changes; null is none. */
export const useSpace = (key: MaybeRefOrGetter<string | null>, { from, ...options }: UseSpaceOptions = {}): SpaceInVue => {
  const { connected } = from ?? foundPresence();
  const space = shallowRef<Space | null>(null);
  const state = ref<State>('catching up');
  const reason = shallowRef<PresenceError | null>(null);
  const settings = shallowRef<Settings>({});
  const writing = shallowRef<ReadonlyMap<string, string>>(new Map());
  const typing = shallowRef<readonly string[]>([]);
  const people = new Shown(() => space.value?.people ?? [], shownPerson);
  const messages = new Shown<Message, Message>(() => space.value?.chat.messages ?? [], (message) => ({ ...message }));
  const things = new Shown(() => space.value?.things ?? [], shownThing);
  let entering: Promise<Space> | undefined;
  let hasBegun = (): void => {};
  const begun = new Promise<void>((resolve) => { hasBegun = resolve; });
  let turn = 0; // counts keys: what belongs to an older one is not shown

  const changed = (to: State, why?: PresenceError): void => {
    state.value = to;
    reason.value = why ?? null;
  };
  const wrote = (id: string, name: string | null): void => {
    const now = new Map(writing.value);
    if (name === null) now.delete(id);
    else now.set(id, name);
    writing.value = now;
    typing.value = [...now.values()];
  };
  const follow = (entered: Space, mine: number): void => {
    const ifMine = <A extends unknown[]>(take: (...args: A) => void) => (...args: A): void => { if (mine === turn) take(...args); };
    entered.on('state', ifMine(changed)).on('settings', ifMine((now) => { settings.value = now; }));
    entered.people.on('enter', ifMine(() => people.changed())).on('leave', ifMine(({ id }) => { people.changed(); wrote(id, null); }))
      .on('voice', ifMine(people.changed)).on('avatar', ifMine(people.changed));
    entered.chat.on('message', ifMine(() => messages.changed())).on('change', ifMine(messages.changed))
      .on('typing', ifMine(({ id, name }, isTyping) => wrote(id, isTyping ? name : null)));
    entered.things.on('enter', ifMine(things.changed)).on('change', ifMine(things.changed)).on('leave', ifMine(things.changed));
    settings.value = entered.settings;
    changed(entered.state, entered.reason);
  };
  const leave = (): void => {
    turn += 1;
    void space.value?.leave();
    space.value = null;
    writing.value = new Map();
    typing.value = [];
    for (const shown of [people, messages, things]) shown.changed();
  };
  const enter = async (wanted: string, mine: number): Promise<Space> => {
    const entered = await (await connected).enter(wanted, options);
    if (mine !== turn) {
      void entered.leave();
      throw new PresenceError('left');
    }
    space.value = markRaw(entered);
    follow(entered, mine);
    return entered;
  };
  const go = (wanted: string | null): void => {
    leave();
    changed(wanted === null ? 'out' : 'catching up');
    const mine = turn;
    entering = wanted === null ? Promise.reject(new PresenceError('left', 'In no space.')) : enter(wanted, mine);
    entering.catch((failed: unknown) => { if (mine === turn && wanted !== null) changed('out', PresenceError.of(failed)); });
  };

  begin(() => {
    watch(() => toValue(key), go, { immediate: true });
    hasBegun();
  });
  onScopeDispose(leave);
  const say = async (content: string, how?: SayOptions): Promise<Message> => {
    await begun;
    return (await entering!).chat.say(content, how);
  };
  return { space, state, reason, people: people.list, messages: messages.list, things: things.list, settings, typing, say };
};
