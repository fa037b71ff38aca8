import { Emitter } from '../emitter.js';
import { PresenceError } from '../errors.js';
import type { Person } from '../people/person.js';
import type { Server } from '../server.js';
import type { Space } from '../space/space.js';
import { type Ears, listen } from './ears.js';
import { Ice } from './ice.js';
import { Lines, type Use } from './lines.js';
import type { Media, Outcome } from './line.js';
import { Sound } from './sound.js';

const PLACED_EVERY_MS = 50;
const TOUCHES = ['pointerdown', 'keydown'];
const EARSHOT = 24; // metres: who is heard from farther away speaks to everybody

/** How to take part. */
export interface VoiceOptions {
  /** Where one hears from: voices come from where people are. Without it all are as near as each other. */
  ears?: Ears;
  /** What one says: true for the microphone, constraints for it, or any stream; false to listen only. */
  microphone?: boolean | MediaTrackConstraints | MediaStream;
  /** Everything through the TURN server: nobody learns one's address. */
  relay?: boolean;
  /** Where the voices go: of an AudioContext of yours. */
  output?: AudioNode;
}

export interface VoiceEvents {
  /** Somebody is heard, or not any more. */
  hear: [person: Person, heard: boolean];
  /** Somebody shows their screen, with its sound; null when that is over. */
  screen: [person: Person, screen: MediaStream | null];
  /** One's own: taking part, the microphone, the screen, whether the page may sound. */
  change: [];
}

/** Voices and screens of those whom the server names as the nearest: one WebRTC connection each. */
export class Voice extends Emitter<VoiceEvents> {
  /** Whether one takes part: hears, and is heard where there is a microphone. */
  active = false;
  muted = false;
  /** What one says; null for who listens only, also because the microphone was refused. */
  microphone: MediaStream | null = null;
  /** The screen that one shows. */
  screen: MediaStream | null = null;

  readonly #sounds = new Map<string, { person: Person; sound: Sound }>(); // of people who may have left meanwhile
  readonly #screens = new Map<string, { person: Person; screen: MediaStream }>();
  readonly #ice: Ice;
  readonly #voices: Lines;
  readonly #shown: Lines; // one's own screen, to each
  readonly #seen: Lines; // others' screens
  readonly #hearing = new Float64Array(9);
  #peers: string[] = [];
  #options: VoiceOptions = {};
  #output: AudioNode | null = null;
  #ownContext: AudioContext | null = null;
  #stopsMicrophone = false;
  #hasBegun = false; // what one says is known: before that nobody is answered
  #starts = 0; // and stops: whoever waited for a microphone meanwhile was overtaken
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @internal */
  constructor(private readonly space: Space, private readonly server: Server) {
    super();
    const { link } = space;
    this.#ice = new Ice(server, () => this.#configure());
    const nothing = (): void => {};
    this.#voices = new Lines(link, this.#use('voice', (id) => link.id < id, {
      fill: (peer) => this.#speak(peer),
      heard: (id, track, transceiver) => this.#heard(id, track, transceiver),
      ended: (id) => this.#silent(id),
    }));
    this.#shown = new Lines(link, this.#use('screen', () => (this.screen ? true : null), {
      fill: (peer) => this.#show(peer), heard: nothing, ended: nothing,
    }));
    this.#seen = new Lines(link, this.#use('screen', () => false, {
      fill: nothing, heard: (id, track) => this.#saw(id, track), ended: (id) => this.#dark(id),
    }));
    link.hear('voice-peers', ({ peers }) => this.#keep(peers));
    space.people.on('leave', ({ id }) => this.#keep(this.#peers.filter((peer) => peer !== id)));
    space.people.on('voice', (person) => { if (!person.voice?.screen) this.#seen.drop(person.id); });
    link.hear('voice-state', ({ socketId, enabled }) => { // a moderator muted one
      if (socketId === link.id && !enabled && this.#hasBegun) this.stop();
    });
    space.on('state', (state) => {
      if (state === 'catching up') this.#keep([]); // for the others one is another now
      if (state === 'live' && this.active) this.#tell();
      if (state === 'out') this.stop();
    });
  }

  /** Whether the page may sound: browsers allow it once somebody touched it. */
  get audible(): boolean {
    return this.#output?.context.state === 'running';
  }

  /** Whether that person is heard. */
  hears(person: Person): boolean {
    return this.#sounds.has(person.id);
  }

  /**
   * Takes part. Resolves with what one says: null for a listener, also where there is no microphone or it was refused.
   * Call it when somebody pressed something; without that the page is silent until they do.
   */
  async start(options: VoiceOptions = {}): Promise<MediaStream | null> {
    this.#options = options;
    if (this.active) this.stop();
    const start = ++this.#starts;
    this.active = this.space.speaks = true;
    this.#output = options.output ?? this.#speakers();
    this.#wake(this.#output);
    const [microphone] = await Promise.all([this.#listenTo(options.microphone ?? true), this.#ice.start()]);
    if (start === this.#starts) {
      this.#stopsMicrophone = !(options.microphone instanceof MediaStream);
      this.#begin(microphone);
    } else if (!(options.microphone instanceof MediaStream)) stopped(microphone);
    return this.microphone;
  }

  /** Hears nobody, and is heard by nobody; shows nothing. */
  stop(): void {
    if (!this.active) return;
    this.#starts++;
    this.active = this.space.speaks = this.#hasBegun = false;
    clearInterval(this.#timer);
    this.#ice.stop();
    this.#keep(this.#peers); // closes all; the names stay, for the server does not say them again
    this.unshare();
    if (this.#stopsMicrophone) stopped(this.microphone);
    this.microphone = null;
    void this.#ownContext?.close();
    this.#ownContext = this.#output = null;
    this.#tell();
  }

  /** Says nothing for a while, or speaks again; the others are told. */
  mute(muted = true): void {
    this.muted = muted;
    for (const track of this.microphone?.getAudioTracks() ?? []) track.enabled = !muted;
    this.#tell();
  }

  /** Hears from there from now on. */
  set ears(ears: Ears | undefined) {
    this.#options = { ...this.#options, ears };
  }

  /** Shows a screen, with its sound, to those who are near: one that is chosen now, or any stream. While one takes part. */
  async share(screen?: MediaStream): Promise<MediaStream> {
    const stream = screen ?? await navigator.mediaDevices.getDisplayMedia({ video: true, audio: true });
    if (!this.active) { // it was stopped while one chose
      if (!screen) stopped(stream);
      throw new PresenceError('left', 'You take no part in voice.');
    }
    this.unshare();
    this.screen = stream;
    stream.getVideoTracks()[0]?.addEventListener('ended', () => { if (this.screen === stream) this.unshare(); });
    this.#shown.keep(this.#peers);
    this.#tell();
    return stream;
  }

  /** Shows it no more. */
  unshare(): void {
    if (!this.screen) return;
    stopped(this.screen);
    this.screen = null;
    this.#shown.clear();
    this.#tell();
  }

  // --- one's own side

  #begin(microphone: MediaStream | null): void {
    this.microphone = microphone;
    this.#hasBegun = true;
    this.mute(this.muted);
    this.#timer = setInterval(() => this.#place(), PLACED_EVERY_MS);
    this.#keep(this.#peers); // offers that came before are made again, names are not
  }

  async #listenTo(wanted: NonNullable<VoiceOptions['microphone']>): Promise<MediaStream | null> {
    if (wanted instanceof MediaStream) return wanted;
    if (!wanted) return null;
    const audio = { echoCancellation: true, noiseSuppression: true, ...(wanted === true ? {} : wanted) };
    return navigator.mediaDevices?.getUserMedia({ audio }).catch(() => null) ?? null;
  }

  #speakers(): AudioNode {
    return (this.#ownContext = new AudioContext()).destination;
  }

  // A page is silent until somebody touches it.
  #wake({ context }: AudioNode): void {
    const resume = (): void => { void (context as AudioContext).resume(); };
    const told = (): void => {
      if (context.state !== 'suspended') {
        for (const touch of TOUCHES) document.removeEventListener(touch, resume);
        context.removeEventListener('statechange', told);
      }
      this.emit('change');
    };
    for (const touch of TOUCHES) document.addEventListener(touch, resume);
    context.addEventListener('statechange', told);
    resume();
  }

  #tell(): void {
    const muted = this.muted || this.microphone === null;
    this.space.link.send('voice-state', { enabled: this.#hasBegun, muted, screen: this.screen !== null });
    this.emit('change');
  }

  // --- the others'

  #keep(peers: string[]): void {
    this.#peers = peers;
    const held = this.#hasBegun ? peers : [];
    for (const lines of [this.#voices, this.#shown, this.#seen]) lines.keep(held);
  }

  #use(media: Media, calls: Use['calls'], own: Pick<Use, 'fill' | 'heard' | 'ended'>): Use {
    return {
      media, ...own,
      configuration: () => this.#configuration(),
      calls: (id) => (this.#hasBegun ? calls(id) : null),
      told: (outcome) => this.#report(media, outcome),
    };
  }

  #configuration(): RTCConfiguration {
    return { iceServers: this.#ice.servers, iceTransportPolicy: this.#options.relay ? 'relay' : 'all' };
  }

  #configure(): void {
    for (const lines of [this.#voices, this.#shown, this.#seen]) {
      for (const peer of lines) peer.setConfiguration(this.#configuration());
    }
  }

  // A place for a microphone is there from the beginning, so that nothing has to be offered again for it.
  #speak(peer: RTCPeerConnection): void {
    const stream = this.microphone ?? new MediaStream();
    const { sender } = peer.addTransceiver('audio', { direction: 'sendrecv', streams: [stream] });
    sender.replaceTrack(this.#said).catch(() => {}); // the connection was closed
  }

  get #said(): MediaStreamTrack | null {
    return this.microphone?.getAudioTracks()[0] ?? null;
  }

  #show(peer: RTCPeerConnection): void {
    for (const track of this.screen!.getTracks()) peer.addTransceiver(track, { direction: 'sendonly', streams: [this.screen!] });
  }

  #heard(id: string, track: MediaStreamTrack, transceiver: RTCRtpTransceiver): void {
    if (track.kind !== 'audio') return; // no voice
    if (transceiver.direction === 'recvonly') { // they called: what one says goes the same way
      transceiver.direction = 'sendrecv';
      transceiver.sender.setStreams(this.microphone ?? new MediaStream());
      transceiver.sender.replaceTrack(this.#said).catch(() => {});
    }
    track.onunmute = () => this.#hear(id, track); // its first packet
    track.onmute = () => this.#silent(id);
  }

  #hear(id: string, track: MediaStreamTrack): void {
    const person = this.space.people.get(id);
    if (!this.#output || !person || this.#sounds.has(id)) return;
    this.#sounds.set(id, { person, sound: new Sound(track, this.#output) });
    this.#place();
    this.emit('hear', person, true);
  }

  #silent(id: string): void {
    const heard = this.#sounds.get(id);
    if (!heard) return;
    this.#sounds.delete(id);
    heard.sound.end();
    this.emit('hear', heard.person, false);
  }

  #saw(id: string, track: MediaStreamTrack): void {
    const person = this.space.people.get(id);
    if (!person) return;
    const known = this.#screens.get(id);
    if (known) {
      known.screen.addTrack(track);
      return;
    }
    const screen = new MediaStream([track]);
    this.#screens.set(id, { person, screen });
    this.emit('screen', person, screen);
  }

  #dark(id: string): void {
    const seen = this.#screens.get(id);
    this.#screens.delete(id);
    if (seen) this.emit('screen', seen.person, null);
  }

  // --- where they are

  #place(): void {
    const { ears } = this.#options;
    const { people, settings } = this.space;
    const mode = (settings['audio'] as { mode?: string } | undefined)?.mode;
    if (ears && this.#output) this.#turn(ears, this.#output.context.listener);
    people.each(() => {}); // to this moment, whoever else shows them
    for (const { person: { pose }, sound } of this.#sounds.values()) {
      const isPlaced = ears && pose.known && mode !== 'stage' && !(mode === 'announcement' && this.#metresTo(pose) > EARSHOT);
      if (isPlaced) sound.at(pose.x, pose.y, pose.z);
      else sound.everywhere();
    }
  }

  #turn(ears: Ears, listener: AudioListener): void {
    const at = this.#hearing;
    listen(ears, at);
    if (listener.positionX === undefined) { // Firefox
      listener.setPosition(at[0]!, at[1]!, at[2]!);
      listener.setOrientation(at[3]!, at[4]!, at[5]!, at[6]!, at[7]!, at[8]!);
      return;
    }
    const { positionX, positionY, positionZ, forwardX, forwardY, forwardZ, upX, upY, upZ } = listener;
    [positionX, positionY, positionZ, forwardX, forwardY, forwardZ, upX, upY, upZ].forEach((value, i) => { value.value = at[i]!; });
  }

  #metresTo({ x, y, z }: { x: number; y: number; z: number }): number {
    return Math.hypot(x - this.#hearing[0]!, y - this.#hearing[1]!, z - this.#hearing[2]!);
  }

  // For the success rate of the operator, and of the space's owner.
  #report(media: Media, outcome: Outcome): void {
    const body = { ...outcome, media, space_type: this.space.type, space_id: this.space.id };
    this.server.ask('POST', '/api/webrtc/reports', { body }).catch(() => {});
  }
}

const stopped = (stream: MediaStream | null): void => {
  for (const track of stream?.getTracks() ?? []) track.stop();
};
