/** Whatever goes wrong, here or at the server. `code` is for programs and never changes its meaning; `message` is for people. */
export class PresenceError extends Error {
  override readonly name = 'PresenceError';

  constructor(
    /** One of the server's codes (`forbidden`, `slow_mode`, ...), or of ours: `offline`, `timeout`, `left`. */
    readonly code: string,
    message: string = code,
    /** What the server says beside it: `fields`, `rule`, `retry_after`, ... */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }

  /** Seconds after which the same is worth another try, where that is known. */
  get retryAfter(): number | undefined {
    const seconds = this.details['retry_after'];
    return typeof seconds === 'number' ? seconds : undefined;
  }

  /** Whether it may go well a moment later without anybody doing anything. */
  get temporary(): boolean {
    return TEMPORARY.has(this.code);
  }

  /** Makes one of what the server answered: the body of a response, an ack, or an event. */
  static of(body: unknown, fallback = 'internal'): PresenceError {
    if (body instanceof PresenceError) return body;
    const said = (body ?? {}) as { error?: unknown; reason?: unknown; code?: unknown; details?: unknown };
    const text = said.error ?? said.reason ?? (body instanceof Error ? body.message : undefined);
    const code = typeof said.code === 'string' ? said.code : fallback;
    return new PresenceError(code, typeof text === 'string' ? text : code, (said.details ?? {}) as Record<string, unknown>);
  }
}

const TEMPORARY = new Set(['unavailable', 'rate_limited', 'slow_mode', 'space_full', 'draining', 'too_slow', 'offline', 'timeout']);

/** Whether another token may help. */
export const isOver = (error: PresenceError): boolean => error.code === 'session_expired' || error.code === 'unauthorized';
