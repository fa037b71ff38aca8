import type { Server } from '../server.js';
import type { components } from '../wire/rest.js';

const AGAIN_MS = 5_000;

/** The STUN and TURN servers. Their credentials end; they are renewed when half of their life is over. */
export class Ice {
  servers: RTCIceServer[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOn = false;

  /** `renewed` is called with each list of servers but the first. */
  constructor(private readonly server: Server, private readonly renewed: () => void) {}

  /** Resolves once they are known, or cannot be got just now: whoever is near may be reached without them. */
  async start(): Promise<void> {
    this.#isOn = true;
    await this.#renew();
  }

  stop(): void {
    this.#isOn = false;
    clearTimeout(this.#timer);
  }

  async #renew(): Promise<void> {
    clearTimeout(this.#timer);
    let next = AGAIN_MS;
    try {
      const found = await this.server.ask<components['schemas']['TurnCredentials']>('GET', '/api/turn-credentials');
      this.servers = found.iceServers as RTCIceServer[];
      next = Math.max(found.ttl * 500, AGAIN_MS);
      this.renewed();
    } catch { /* asked again soon */ }
    if (this.#isOn) this.#timer = setTimeout(() => void this.#renew(), next);
  }
}
