import type { Space } from '../space/space.js';
import type { Thing } from '../things/thing.js';
import { type Component, type Quaternion, type Vector3, aframe } from './page.js';
import { presenceOf } from './scene.js';

interface Data { thing: string }
interface Placed { position: number[]; quaternion: number[] }

/** The component `presence-entity`: an object that is where the server says, for everybody. */
export interface SharedEntity extends Component<Data> {
  thing: Thing<Placed> | null;
  /** Takes it in one's hand: true for one of those who reach for it. From then on it goes where one moves it. */
  hold(): Promise<boolean>;
  release(): Promise<void>;
}

interface Own extends SharedEntity {
  space: Space | null;
  at: Vector3; // where it is to be
  turned: Quaternion;
  sent: { at: Vector3; turned: Quaternion };
  heard(event: Event): void;
  stopFollowing?(): void;
  make(space: Space | null): void;
  follow(): void;
  placed(): Placed;
  hasMoved(): boolean;
}

const EASE_MS = 60; // in which the way to where it is to be is down to a third
const STILL_METRES = 0.001;
const STILL_RADIANS = 0.005;

const definition: Partial<Own> & ThisType<Own> & Record<string, unknown> = {
  schema: { thing: { default: '' } }, // its id in the space; without it the element's

  init() {
    const { THREE } = aframe();
    this.thing = null;
    this.space = null;
    this.at = new THREE.Vector3();
    this.turned = new THREE.Quaternion();
    this.sent = { at: new THREE.Vector3(), turned: new THREE.Quaternion() };
    this.heard = ({ detail }: Event & { detail?: { state: string; space?: Space } }) => {
      if (detail?.state === 'live') this.make(detail.space ?? null);
    };
    this.el.sceneEl.addEventListener('presence-state', this.heard);
    this.make(presenceOf(this.el.sceneEl)?.space ?? null);
  },

  remove() {
    this.el.sceneEl.removeEventListener('presence-state', this.heard);
    this.stopFollowing?.();
    this.release().catch(() => {}); // of a space that is left, nothing is held
  },

  make(space: Space | null) {
    if (!space || (space === this.space && this.thing && !this.thing.gone)) return;
    const isNew = space !== this.space;
    this.space = space;
    this.thing = space.things.make<Placed>(this.data.thing || this.el.id, this.placed());
    this.at.copy(this.el.object3D.position);
    this.turned.copy(this.el.object3D.quaternion);
    this.thing.ready.then(() => this.follow(), (error: unknown) => this.el.emit('presence-refused', error, false));
    if (!isNew) return;
    this.stopFollowing?.();
    const follow = (thing: unknown): void => { if (thing === this.thing) this.follow(); };
    space.things.on('change', follow);
    this.stopFollowing = () => space.things.off('change', follow);
  },

  // Where the server says that it is.
  follow() {
    const { thing, at, turned } = this;
    if (!thing) return;
    const { position, quaternion } = thing.state;
    if (areNumbers(position, 3)) at.set(...(position as [number, number, number]));
    if (areNumbers(quaternion, 4)) turned.set(...(quaternion as [number, number, number, number]));
    this.el.emit('presence-change', thing, false);
  },

  tick(_time: number, passed: number) {
    const { thing, el } = this;
    if (!thing || thing.gone) return;
    if (thing.mine) {
      if (this.hasMoved()) void thing.set(this.placed());
      return;
    }
    const part = 1 - Math.exp(-passed / EASE_MS);
    el.object3D.position.lerp(this.at, part);
    el.object3D.quaternion.slerp(this.turned, part);
  },

  async hold() {
    const { thing } = this;
    if (!thing || !await thing.hold()) return false;
    this.sent.at.copy(this.el.object3D.position);
    this.sent.turned.copy(this.el.object3D.quaternion);
    return true;
  },

  async release() {
    if (!this.thing?.mine) return;
    void this.thing.set(this.placed());
    await this.thing.release();
  },

  hasMoved() {
    const { position, quaternion } = this.el.object3D;
    const { at, turned } = this.sent;
    if (position.distanceToSquared(at) < STILL_METRES ** 2 && quaternion.angleTo(turned) < STILL_RADIANS) return false;
    at.copy(position);
    turned.copy(quaternion);
    return true;
  },

  placed(): Placed {
    const { position: { x, y, z }, quaternion: q } = this.el.object3D;
    return { position: [x, y, z], quaternion: [q.x, q.y, q.z, q.w] };
  },
};

// Anybody may write anything there, and an object that is nowhere once stays nowhere.
const areNumbers = (value: unknown, count: number): boolean => (
  Array.isArray(value) && value.length === count && value.every(Number.isFinite)
);

/** The shared entity of an element. */
export const sharedEntity = (el: Element): SharedEntity | undefined => (
  (el as unknown as { components: Record<string, SharedEntity | undefined> }).components['presence-entity']
);

export const registerEntity = (): void => aframe().registerComponent('presence-entity', definition);
