import { PresenceError } from '../errors.js';
import { wait } from '../identity/login.js';

/** An ack: `ok`, and what the server says beside it. */
export type Ack = { ok: boolean } & Record<string, unknown>;

type Payload = Record<string, unknown>;

interface Command {
  event: string;
  payload: Payload | (() => Promise<Payload>);
  resolve(ack: Ack): void;
  reject(error: PresenceError): void;
}

// Slow mode is for whoever writes to know; the others pass by themselves.
const AGAIN = new Set(['unavailable', 'rate_limited', 'timeout', 'offline', 'draining']);
const LEAST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 5_000;

/**
 * What waits for its ack, in order, one under way. It is sent again after a rejoin: as the same command by its
 * `client_message_id`, or one that says what is to be, not what is to be added.
 */
export class Outbox {
  readonly #waiting: Command[] = [];
  #running = false;
  #end: PresenceError | null = null;

  /** `send` sends once there is somebody to send to, and rejects with what may be tried again. */
  constructor(private readonly send: (event: string, payload: Payload) => Promise<Ack>) {}

  /**
   * Resolves with the ack, once the command was carried out. Rejects where it was refused, or one is out of the space.
   * A payload that is a function is asked for when the command's turn comes.
   */
  command(event: string, payload: Command['payload']): Promise<Ack> {
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ event, payload, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  /** Nothing is sent any more; what waits is refused. */
  close(reason: PresenceError): void {
    this.#end = reason;
    for (const command of this.#waiting.splice(0)) command.reject(reason);
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let command = this.#waiting[0]; command; command = this.#waiting[0]) {
      const outcome = await this.#carriedOut(command);
      if (this.#waiting[0] !== command) continue; // closed meanwhile
      this.#waiting.shift();
      if (outcome instanceof PresenceError) command.reject(outcome);
      else command.resolve(outcome);
    }
    this.#running = false;
  }

  async #carriedOut({ event, payload: given }: Command): Promise<Ack | PresenceError> {
    const payload = typeof given === 'function' ? await given() : given;
    for (let pause = LEAST_PAUSE_MS; ; pause = Math.min(pause * 2, MOST_PAUSE_MS)) {
      try {
        return await this.send(event, payload);
      } catch (error) {
        const failed = PresenceError.of(error);
        if (this.#end || !AGAIN.has(failed.code)) return failed;
        if (failed.code !== 'offline') await wait(failed.retryAfter === undefined ? pause : failed.retryAfter * 1000);
      }
    }
  }
}
