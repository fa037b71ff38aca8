const FULL_METRES = 1; // up to where a voice is as loud as it is
const ROLLOFF = 1.25; // then it falls as 1 / (1 + ROLLOFF * (distance - FULL_METRES)): 28 dB at 20 m

/** One voice on its way to the ears: at a place, or as near as everybody. */
export class Sound {
  readonly #source: MediaStreamAudioSourceNode;
  readonly #panner: PannerNode;
  readonly #holder = new Audio(); // a remote stream is silent in Web Audio until an element plays it
  #isPlaced: boolean | null = null;

  constructor(track: MediaStreamTrack, private readonly output: AudioNode) {
    const { context } = output;
    const stream = new MediaStream([track]);
    this.#holder.muted = true;
    this.#holder.srcObject = stream;
    this.#holder.play().catch(() => {}); // the page may not play yet; the element holds the stream all the same
    this.#source = (context as AudioContext).createMediaStreamSource(stream);
    this.#panner = new PannerNode(context, {
      panningModel: 'HRTF', distanceModel: 'inverse', refDistance: FULL_METRES, rolloffFactor: ROLLOFF,
    });
    this.#panner.connect(output);
  }

  /** It comes from there; metres. */
  at(x: number, y: number, z: number): void {
    const { positionX, positionY, positionZ } = this.#panner;
    positionX.value = x;
    positionY.value = y;
    positionZ.value = z;
    this.#route(true);
  }

  /** It comes from nowhere, and is as loud as it is. */
  everywhere(): void {
    this.#route(false);
  }

  end(): void {
    this.#source.disconnect();
    this.#panner.disconnect();
    this.#holder.srcObject = null;
  }

  #route(isPlaced: boolean): void {
    if (isPlaced === this.#isPlaced) return;
    this.#isPlaced = isPlaced;
    this.#source.disconnect();
    this.#source.connect(isPlaced ? this.#panner : this.output);
  }
}
