import { TICK_MS } from '../poses/playback.js';
import { anglesOf } from '../poses/rotations.js';
import type { Link } from '../space/link.js';
import type { Rotation, Vector } from '../wire/index.js';

const STILL = 1e-4; // metres and degrees: less is no movement

const OWN = new Set(['position', 'rotation', 'quaternion']);

/** What `move` takes. Further fields (`scale`, `hands`, ...) go as they are. */
export interface Move {
  position?: Vector;
  /** Degrees as A-Frame's; a quaternion is taken too, and told as degrees. */
  rotation?: Rotation;
  /** In the place of `rotation`: three.js's `object.quaternion`. */
  quaternion?: Vector & { w: number };
  /** Poses of what one moves, by id. */
  entities?: Record<string, unknown>;
  [field: string]: unknown;
}

/** Oneself in a space. */
export class Me {
  /** The newest id of one's socket; empty before the first. */
  id = '';
  name = '';
  account: string | null = null;
  role = 'guest';

  readonly #position: Vector = { x: NaN, y: NaN, z: NaN };
  readonly #rotation: Vector = { x: NaN, y: NaN, z: NaN };
  readonly #angles: Vector = { x: 0, y: 0, z: 0 };
  #more: Record<string, unknown> | null = null; // of fields that are to be sent
  #told: Record<string, unknown> = {}; // the newest of each
  #moved = false;
  #turned = false;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** @internal */
  constructor(private readonly link: Link) {}

  /** Where one is, as far as one said; undefined before. */
  get position(): Vector | undefined {
    return Number.isNaN(this.#position.x) ? undefined : { ...this.#position };
  }

  /** Says where one is: as often as you like; the newest is sent at the tick, and nothing where nothing changed. */
  move(to: Move): void {
    const { position } = to;
    if (position && differs(position, this.#position)) this.#moved = copy(position, this.#position);
    const turn = to.quaternion ?? to.rotation;
    if (turn) this.#turn(turn);
    for (const name in to) {
      if (OWN.has(name)) continue;
      this.#told[name] = to[name];
      (this.#more ??= {})[name] = to[name];
    }
    if (!this.#timer) this.#tick();
  }

  /** Says what one looks like: at most 2 KiB as JSON. */
  look(avatar: unknown): void {
    this.link.avatar = avatar;
    this.link.send('avatar-update', { avatar_data: avatar });
  }

  /** @internal After a rejoin everything is told again: a new server may know less. */
  again(): void {
    this.#moved = !Number.isNaN(this.#position.x);
    this.#turned = !Number.isNaN(this.#rotation.x);
    if (Object.keys(this.#told).length) this.#more = { ...this.#told };
    if (!this.#timer) this.#tick();
  }

  #turn(turn: Rotation): void {
    const { w } = turn;
    if (w === undefined) copy(turn, this.#angles);
    else anglesOf(turn.x, turn.y, turn.z, w, this.#angles);
    if (differs(this.#angles, this.#rotation)) this.#turned = copy(this.#angles, this.#rotation);
  }

  #tick = (): void => {
    this.#timer = null;
    if (!this.link.live || !(this.#moved || this.#turned || this.#more)) return;
    this.link.send('aframe-update', {
      ...(this.#moved ? { position: this.#position } : {}),
      ...(this.#turned ? { rotation: this.#rotation } : {}),
      ...this.#more,
    });
    this.#moved = this.#turned = false;
    this.#more = null;
    this.#timer = setTimeout(this.#tick, TICK_MS);
  };
}

const differs = (a: Vector, b: Vector): boolean => (
  !(Math.abs(a.x - b.x) < STILL && Math.abs(a.y - b.y) < STILL && Math.abs(a.z - b.z) < STILL)
);

const copy = (from: Vector, to: Vector): true => {
  to.x = from.x;
  to.y = from.y;
  to.z = from.z;
  return true;
};
