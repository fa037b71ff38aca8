// Waiting for a condition, never for a time.

const PATIENCE_MS = 30_000;

/** Resolves with the arguments of the first event that passes. */
export const heard = (emitter, name, passes = () => true) => new Promise((resolve) => {
  const listener = (...args) => {
    if (!passes(...args)) return;
    emitter.off(name, listener);
    resolve(args);
  };
  emitter.on(name, listener);
});

/** Resolves with what `ask` returns as soon as that is true; rejects when late, with what `why` says. */
export const until = async (ask, why = () => String(ask)) => {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    const answer = await ask();
    if (answer) return answer;
    await new Promise((resolve) => { setTimeout(resolve, 5); });
  }
  throw new Error(`not in time: ${why()}`);
};
