import type { Link } from '../space/link.js';
import { Line, type Media, type Outcome, type Signalled } from './line.js';

const MOST = 64; // whom the server names at most to one on a stage; whoever offers beyond that is not answered
const SIGNALS = ['webrtc-offer', 'webrtc-answer', 'webrtc-ice-candidate'] as const;
const LEAST_PAUSE_MS = 5_000; // before somebody who was not reached is called again
const MOST_PAUSE_MS = 60_000;

/** What lines of one kind are for. */
export interface Use {
  readonly media: Media;
  configuration(): RTCConfiguration;
  /** Whether one calls that peer, or waits for their call; null where there is to be no line now. */
  calls(id: string): boolean | null;
  /** Puts what one sends into a new line of one's own. */
  fill(peer: RTCPeerConnection): void;
  /** Another's track came, or one's own may be sent with it. */
  heard(id: string, track: MediaStreamTrack, transceiver: RTCRtpTransceiver): void;
  /** The line is closed. */
  ended(id: string): void;
  told(outcome: Outcome): void;
}

/** The connections of one kind to those whom the server names. */
export class Lines {
  readonly #lines = new Map<string, Line>(); // by the other's socket id
  readonly #pauses = new Map<string, number>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #named: readonly string[] = [];

  constructor(private readonly link: Link, private readonly use: Use) {
    for (const signal of SIGNALS) link.hear(signal, (content) => {
      if ((content.media ?? 'voice') === use.media) this.#signalled(signal, content);
    });
  }

  *[Symbol.iterator](): Iterator<RTCPeerConnection> {
    for (const { peer } of this.#lines.values()) yield peer;
  }

  /** Holds a line to each of these, and to nobody else. */
  keep(named: readonly string[]): void {
    this.#named = named;
    for (const id of [...this.#lines.keys()]) if (!named.includes(id)) this.drop(id);
    for (const id of named) this.#call(id);
  }

  /** Closes the line to that peer. */
  drop(id: string): void {
    const line = this.#lines.get(id);
    if (!line) return;
    this.#lines.delete(id);
    line.close();
    this.use.ended(id);
  }

  /** Closes everything. */
  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#pauses.clear();
    this.keep([]);
  }

  #call(id: string): void {
    if (this.#lines.has(id) || this.use.calls(id) !== true) return;
    this.use.fill(this.#open(id, true).peer); // which makes it offer
  }

  #signalled(signal: (typeof SIGNALS)[number], content: Signalled): void {
    const id = content.fromSocketId;
    const isAnothers = this.use.media === 'screen' && this.use.calls(id) !== false; // of the lines for their screens
    if (signal === 'webrtc-offer' && isAnothers) return;
    if (signal === 'webrtc-offer') this.#prepare(id, content.offer as RTCSessionDescriptionInit | undefined);
    this.#lines.get(id)?.take(signal, content);
  }

  // For an offer there is to be a line of this kind that may take it.
  #prepare(id: string, offer: RTCSessionDescriptionInit | undefined): void {
    const calls = this.use.calls(id);
    if (!offer || calls === null) return;
    if (this.#lines.get(id)?.isOther(offer)) this.drop(id); // theirs broke, and they made another
    if (!calls && !this.#lines.has(id) && this.#lines.size < MOST) this.#open(id, false);
  }

  #open(id: string, isCaller: boolean): Line {
    const { media } = this.use;
    const line = new Line(isCaller, this.use.configuration(), {
      send: (signal, content) => this.link.send(signal, { targetSocketId: id, media, ...content }),
      told: (outcome) => this.use.told(outcome),
      heard: (track, transceiver) => this.use.heard(id, track, transceiver),
      lost: () => this.#lost(id),
    });
    this.#lines.set(id, line);
    return line;
  }

  // Called again after a pause, as long as the server names them.
  #lost(id: string): void {
    this.drop(id);
    const pause = this.#pauses.get(id) ?? LEAST_PAUSE_MS;
    this.#pauses.set(id, Math.min(pause * 2, MOST_PAUSE_MS));
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#named.includes(id)) this.#call(id);
    }, pause);
    this.#timers.add(timer);
  }
}
