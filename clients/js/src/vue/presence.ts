import {
  type ComponentInternalInstance, type InjectionKey, type ShallowRef, getCurrentInstance, inject, markRaw, onMounted, onScopeDispose, provide,
  shallowRef,
} from 'vue';
import { PresenceError } from '../errors.js';
import { type ConnectOptions, type Presence, connect } from '../presence.js';

export interface PresenceInVue {
  /** Null until it is connected, and on a server that renders pages. */
  presence: ShallowRef<Presence | null>;
  /** Why that failed. */
  error: ShallowRef<PresenceError | null>;
  /** Resolves with it once it is connected. */
  connected: Promise<Presence>;
}

const KEY: InjectionKey<PresenceInVue> = Symbol('presence');
const ofInstance = new WeakMap<ComponentInternalInstance, PresenceInVue>(); // a component does not inject what it provides

/** Begins when the component is mounted, so never on a server that renders pages; outside of components at once. */
export const begin = (start: () => void): void => {
  if (getCurrentInstance()) onMounted(start);
  else start();
};

/** Connects, for this component and all below it; ends with it. */
export const usePresence = (url: string, options: ConnectOptions = {}): PresenceInVue => {
  const presence = shallowRef<Presence | null>(null);
  const error = shallowRef<PresenceError | null>(null);
  let isOver = false;
  const connected = new Promise<Presence>((resolve, reject) => {
    begin(() => {
      connect(url, options).then((made) => {
        if (isOver) return void made.close();
        presence.value = markRaw(made);
        resolve(made);
      }, (failed: unknown) => {
        error.value = PresenceError.of(failed);
        reject(error.value);
      });
    });
  });
  connected.catch(() => {}); // `error` says it
  onScopeDispose(() => {
    isOver = true;
    void presence.value?.close();
    presence.value = null;
  });
  const found = { presence, error, connected };
  const instance = getCurrentInstance();
  if (instance) {
    ofInstance.set(instance, found);
    provide(KEY, found);
  }
  return found;
};

/** What `usePresence` gave, here or in a component above. Throws where nobody called it. */
export const foundPresence = (): PresenceInVue => {
  const instance = getCurrentInstance();
  const found = (instance && ofInstance.get(instance)) ?? (instance && inject(KEY, null));
  if (!found) throw new PresenceError('invalid_input', 'Call usePresence in this component or one above, or give useSpace what it returns.');
  return found;
};
