import type { Rotation, Vector } from '../wire/index.js';
import { type Moment, TICK_MS } from './playback.js';
import { anglesOf, quaternionOf } from './rotations.js';

const KEPT = 32; // poses; 1.6 seconds of them
const WIDTH = 8; // t, x, y, z, and a quaternion
const REST_MS = 250; // without a pose: they stood still, and moved on one tick before the next
const STILL_MS = 1.5 * TICK_MS; // others' poses go on for so long without theirs: they stand still
const MOST_GUESSED_MS = 100; // straight on, when the next pose is late
const EASE_MS = 80; // in which a wrong guess fades to a third
const TELEPORT_METRES = 3; // in one step: nobody walks that
const past: Moment = { t: NaN, newest: NaN }; // what was shown last

/** What a pose may be written into: an Object3D of three.js, an element of A-Frame, or an object with both fields. */
export interface Target {
  object3D?: Target;
  position?: Vector & { set?(x: number, y: number, z: number): unknown };
  quaternion?: { set(x: number, y: number, z: number, w: number): unknown };
  rotation?: Vector;
}

/** Where somebody is shown, at the moment of the last `people.each`. Metres, and a quaternion. Makes no garbage. */
export class Pose {
  x = 0;
  y = 0;
  z = 0;
  qx = 0;
  qy = 0;
  qz = 0;
  qw = 1;

  readonly #ring = new Float64Array(KEPT * WIDTH);
  #count = 0; // of poses that ever came
  #isNew = false; // one came after the last frame
  #last = NaN; // the moment shown last
  #newest = -Infinity; // and what was known of others then
  #ex = 0; // by how much the shown place is off from what is known
  #ey = 0;
  #ez = 0;
  #part = 0.5; // of the way from one pose to the next that is shown; handed on, it would be garbage

  /** Whether it is known where they are. */
  get known(): boolean {
    return this.#count > 0;
  }

  /** Writes the shown pose into an object of the scene. */
  into(target: Target | null | undefined): void {
    const object = target?.object3D ?? target;
    if (!object || this.#count === 0) return;
    const { position, quaternion } = object;
    if (position) {
      position.x = this.x;
      position.y = this.y;
      position.z = this.z;
    }
    if (quaternion) quaternion.set(this.qx, this.qy, this.qz, this.qw);
    else if (object.rotation) anglesOf(this.qx, this.qy, this.qz, this.qw, object.rotation);
  }

  /** @internal Takes a pose of the server's time `t`; what is missing stays as it was. */
  put(t: number, position: Partial<Vector> | undefined, rotation: Partial<Rotation> | undefined): void {
    const ring = this.#ring;
    const before = this.#count > 0 ? this.#at(this.#count - 1) : -1;
    if (before >= 0 && t < ring[before]!) return; // older than what is there
    const same = before >= 0 && t === ring[before]!;
    const at = same ? before : this.#at(this.#count);
    ring[at] = t;
    for (let i = 1; i < WIDTH; i++) ring[at + i] = before >= 0 ? ring[before + i]! : i === 7 ? 1 : 0;
    if (position) {
      ring[at + 1] = position.x ?? 0;
      ring[at + 2] = position.y ?? 0;
      ring[at + 3] = position.z ?? 0;
    }
    if (rotation) this.#turn(at, rotation);
    if (!same) this.#count++;
    this.#isNew = true;
  }

  /** @internal Forgets where they were: they are out of range. */
  forget(): void {
    this.#count = 0;
    this.#last = NaN;
    this.#ex = this.#ey = this.#ez = 0;
  }

  /** @internal Goes to a moment. */
  advance(moment: Moment): void {
    if (this.#count === 0) return;
    const { t, newest } = moment;
    if (Number.isNaN(t)) {
      this.#part = 0;
      this.#show(this.#count - 1, this.#count - 1);
      return;
    }
    if ((this.#isNew || newest !== this.#newest) && !Number.isNaN(this.#last)) this.#correct(moment);
    this.#isNew = false;
    this.#newest = newest;
    this.#sample(moment);
    const fade = Math.exp(-Math.max(0, t - this.#last) / EASE_MS) || 0;
    this.x += this.#ex *= fade;
    this.y += this.#ey *= fade;
    this.z += this.#ez *= fade;
    this.#last = t;
  }

  // What was shown last stays where it was; the difference to what is now known of that moment fades.
  #correct({ newest }: Moment): void {
    const { x, y, z } = this;
    past.t = this.#last;
    past.newest = newest;
    this.#sample(past);
    this.#ex = x - this.x;
    this.#ey = y - this.y;
    this.#ez = z - this.z;
    const isTeleport = this.#ex ** 2 + this.#ey ** 2 + this.#ez ** 2 > TELEPORT_METRES ** 2;
    if (isTeleport) this.#ex = this.#ey = this.#ez = 0;
  }

  #sample(moment: Moment): void {
    const ring = this.#ring;
    const oldest = Math.max(0, this.#count - KEPT);
    let i = this.#count - 1;
    while (i > oldest && ring[this.#at(i)]! > moment.t) i--;
    if (i === this.#count - 1) this.#guess(i, moment);
    else this.#between(i, moment);
  }

  // Between two poses: on the line from one to the other.
  #between(i: number, { t }: Moment): void {
    const ring = this.#ring;
    const next = ring[this.#at(i + 1)]!;
    let began = ring[this.#at(i)]!;
    if (next - began > REST_MS) began = next - TICK_MS;
    this.#part = this.#isTeleport(i, i + 1) ? 0 : Math.min(1, Math.max(0, (t - began) / (next - began)));
    this.#show(i, i + 1);
  }

  // After the newest pose: straight on for a while if it is only late, else at rest.
  #guess(i: number, { t, newest }: Moment): void {
    this.#part = 0;
    this.#show(i, i);
    if (i === 0 || i <= this.#count - KEPT) return;
    const ring = this.#ring;
    const last = ring[this.#at(i)]!;
    const step = last - ring[this.#at(i - 1)]!;
    const rests = newest > last + Math.max(STILL_MS, 1.5 * step) || step > REST_MS;
    if (rests || t <= last || this.#isTeleport(i - 1, i)) return;
    const beyond = t - last;
    const ahead = Math.max(0, beyond <= MOST_GUESSED_MS ? beyond : 2 * MOST_GUESSED_MS - beyond) / step;
    const a = this.#at(i - 1);
    const b = this.#at(i);
    this.x += (ring[b + 1]! - ring[a + 1]!) * ahead;
    this.y += (ring[b + 2]! - ring[a + 2]!) * ahead;
    this.z += (ring[b + 3]! - ring[a + 3]!) * ahead;
  }

  #show(from: number, to: number): void {
    const ring = this.#ring;
    const part = this.#part;
    const a = this.#at(from);
    const b = this.#at(to);
    this.x = ring[a + 1]! + (ring[b + 1]! - ring[a + 1]!) * part;
    this.y = ring[a + 2]! + (ring[b + 2]! - ring[a + 2]!) * part;
    this.z = ring[a + 3]! + (ring[b + 3]! - ring[a + 3]!) * part;
    const dot = ring[a + 4]! * ring[b + 4]! + ring[a + 5]! * ring[b + 5]! + ring[a + 6]! * ring[b + 6]! + ring[a + 7]! * ring[b + 7]!;
    const kept = 1 - part;
    const taken = dot < 0 ? -part : part; // the shorter way round
    const x = ring[a + 4]! * kept + ring[b + 4]! * taken;
    const y = ring[a + 5]! * kept + ring[b + 5]! * taken;
    const z = ring[a + 6]! * kept + ring[b + 6]! * taken;
    const w = ring[a + 7]! * kept + ring[b + 7]! * taken;
    const norm = Math.sqrt(x * x + y * y + z * z + w * w) || 1;
    this.qx = x / norm;
    this.qy = y / norm;
    this.qz = z / norm;
    this.qw = w / norm;
  }

  #turn(at: number, rotation: Partial<Rotation>): void {
    const { x = 0, y = 0, z = 0, w } = rotation;
    if (w === undefined) {
      quaternionOf(x, y, z, this.#ring, at + 4);
      return;
    }
    this.#ring[at + 4] = x;
    this.#ring[at + 5] = y;
    this.#ring[at + 6] = z;
    this.#ring[at + 7] = w;
  }

  #isTeleport(i: number, j: number): boolean {
    const a = this.#at(i);
    const b = this.#at(j);
    const ring = this.#ring;
    const metres = (ring[b + 1]! - ring[a + 1]!) ** 2 + (ring[b + 2]! - ring[a + 2]!) ** 2 + (ring[b + 3]! - ring[a + 3]!) ** 2;
    return metres > TELEPORT_METRES ** 2;
  }

  #at(i: number): number {
    return (i % KEPT) * WIDTH;
  }
}
