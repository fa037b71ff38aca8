type Listener<A extends unknown[]> = (...args: A) => void;

/** Listeners by the name of an event. A listener that throws keeps nobody else from hearing. */
export class Emitter<Events extends { [Name in keyof Events]: unknown[] }> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  /** Adds a listener; returns this, so that calls chain. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return this;
  }

  /** Takes a listener away again. */
  off<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): this {
    this.#listeners.get(name)?.delete(listener);
    return this;
  }

  /** @internal */
  emit<Name extends keyof Events>(name: Name, ...args: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) call(listener as Listener<Events[Name]>, args);
  }
}

/** Calls a listener of the application; what it throws is reported as an uncaught error. */
export const call = <A extends unknown[]>(listener: Listener<A>, args: A): void => {
  try {
    listener(...args);
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
};
