import type { FromServer } from '../wire/index.js';

export type Media = 'voice' | 'screen';
export type Outcome = { outcome: 'connected' | 'failed'; path: string; milliseconds: number };
type Signal = 'webrtc-offer' | 'webrtc-answer' | 'webrtc-ice-candidate';
export type Signalled = FromServer['webrtc-offer'];

/** What a line asks of whoever holds it. */
export interface Holder {
  send(signal: Signal, content: Record<string, unknown>): void;
  /** How the attempt to reach the other ended, once. */
  told(outcome: Outcome): void;
  heard(track: MediaStreamTrack, transceiver: RTCRtpTransceiver): void;
  /** The other was not reached, or not again. */
  lost(): void;
}

const MOST_RESTARTS = 2; // of ICE, one after the other
const PATIENCE_MS = 4_000; // for a connection that broke to come back by itself
const ANSWER_MS = 10_000; // after which an offer was not heard: by who was not there yet, or had not begun

/**
 * One WebRTC connection. The caller offers first, and restarts what broke; the other may offer after that, and of two
 * offers that meet the caller's holds (the way of "perfect negotiation").
 */
export class Line {
  readonly peer: RTCPeerConnection;
  #work: Promise<unknown> = Promise.resolve(); // signals are taken one after the other
  #began = performance.now();
  #isTold = false;
  #restarts = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unanswered: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly isCaller: boolean, configuration: RTCConfiguration, private readonly holder: Holder) {
    this.peer = new RTCPeerConnection(configuration);
    this.peer.onicecandidate = ({ candidate }) => { if (candidate) holder.send('webrtc-ice-candidate', { candidate }); };
    this.peer.ontrack = ({ track, transceiver }) => holder.heard(track, transceiver);
    this.peer.onnegotiationneeded = () => this.#offer();
    this.peer.onconnectionstatechange = () => void this.#judge();
  }

  /** Takes what the other signalled. */
  take(signal: Signal, content: Signalled): void {
    this.#do(async () => {
      if (signal === 'webrtc-offer') await this.#answer(content.offer as RTCSessionDescriptionInit);
      else if (signal === 'webrtc-answer') await this.#answered(content.answer as RTCSessionDescriptionInit);
      else await this.peer.addIceCandidate(content.candidate as RTCIceCandidateInit);
    });
  }

  /** Whether that offer is of another connection of theirs than this one. */
  isOther({ sdp = '' }: RTCSessionDescriptionInit): boolean {
    const known = this.peer.remoteDescription?.sdp;
    return known !== undefined && fingerprint(known) !== fingerprint(sdp);
  }

  close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#unanswered);
    this.peer.onconnectionstatechange = null;
    this.peer.close();
  }

  #offer(): void {
    this.#do(async () => {
      const { peer } = this;
      const isFirst = !peer.remoteDescription;
      if ((isFirst && !this.isCaller) || peer.signalingState !== 'stable') return; // it is needed again once stable
      await peer.setLocalDescription();
      this.holder.send('webrtc-offer', { offer: peer.localDescription });
      clearTimeout(this.#unanswered);
      if (this.isCaller) this.#unanswered = setTimeout(() => this.holder.lost(), ANSWER_MS);
    });
  }

  async #answer(offer: RTCSessionDescriptionInit): Promise<void> {
    const { peer } = this;
    if (peer.signalingState === 'have-local-offer' && this.isCaller) return; // ours holds
    await peer.setRemoteDescription(offer); // takes an offer of ours back
    await peer.setLocalDescription();
    this.holder.send('webrtc-answer', { answer: peer.localDescription });
  }

  async #answered(answer: RTCSessionDescriptionInit): Promise<void> {
    clearTimeout(this.#unanswered);
    if (this.peer.signalingState === 'have-local-offer') await this.peer.setRemoteDescription(answer);
  }

  // What cannot be taken (of a connection that is over, or made up) is passed over.
  #do(work: () => Promise<void>): void {
    this.#work = this.#work.then(() => (this.peer.signalingState === 'closed' ? undefined : work())).catch(() => {});
  }

  async #judge(): Promise<void> {
    clearTimeout(this.#timer);
    const { connectionState } = this.peer;
    if (connectionState === 'connected') {
      this.#restarts = 0;
      this.#tell('connected', await this.#path());
    } else if (connectionState === 'failed') this.#restart();
    else if (connectionState === 'disconnected') this.#timer = setTimeout(() => this.#restart(), PATIENCE_MS);
  }

  // Who was called waits for the caller, who notices it, too.
  #restart(): void {
    if (this.isCaller && this.#restarts++ < MOST_RESTARTS) this.peer.restartIce();
    else if (this.peer.connectionState === 'failed') {
      this.#tell('failed', 'unknown');
      if (this.isCaller) this.holder.lost();
    }
  }

  #tell(outcome: Outcome['outcome'], path: string): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.holder.told({ outcome, path, milliseconds: Math.round(performance.now() - this.#began) });
  }

  // How it got through: host, srflx, prflx or relay.
  async #path(): Promise<string> {
    const stats = new Map<string, Record<string, string>>();
    (await this.peer.getStats()).forEach((value, key) => stats.set(key, value));
    const transport = [...stats.values()].find(({ type }) => type === 'transport');
    const pair = stats.get(transport?.['selectedCandidatePairId'] ?? '');
    return stats.get(pair?.['localCandidateId'] ?? '')?.['candidateType'] ?? 'unknown';
  }
}

const fingerprint = (sdp: string): string | undefined => /^a=fingerprint:.*$/m.exec(sdp)?.[0].trim();
