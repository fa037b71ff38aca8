// What these components use of A-Frame 1.8, which is the page's global, and of the three.js in it.
import { PresenceError } from '../errors.js';
import type { Vector } from '../wire/index.js';

export interface Vector3 extends Vector {
  set(x: number, y: number, z: number): Vector3;
  copy(from: Vector): Vector3;
  lerp(to: Vector, part: number): Vector3;
  distanceToSquared(to: Vector): number;
}

export interface Quaternion extends Vector {
  w: number;
  set(x: number, y: number, z: number, w: number): Quaternion;
  copy(from: Quaternion): Quaternion;
  slerp(to: Quaternion, part: number): Quaternion;
  angleTo(to: Quaternion): number;
}

export interface Object3D {
  position: Vector3;
  quaternion: Quaternion;
  scale: Vector3;
  visible: boolean;
  matrixWorld: { elements: number[] };
  add(...children: Object3D[]): void;
  remove(...children: Object3D[]): void;
  getWorldPosition(into: Vector3): Vector3;
  getWorldQuaternion(into: Quaternion): Quaternion;
}

export interface Scene extends Entity {
  camera?: Object3D;
  hasLoaded: boolean;
}

export interface Entity extends HTMLElement {
  object3D: Object3D;
  sceneEl: Scene;
  components: Record<string, unknown>;
  setAttribute(name: string, value: unknown): void;
  setObject3D(name: string, object: Object3D): void;
  removeObject3D(name: string): void;
  emit(name: string, detail?: unknown, bubbles?: boolean): void;
}

/** What `this` is in a component's functions. */
export interface Component<Data> { el: Entity; data: Data; id: string }

type Make<T> = new (...args: never[]) => T;
interface Three {
  Vector3: new (x?: number, y?: number, z?: number) => Vector3;
  Quaternion: new () => Quaternion;
  Group: Make<Object3D>;
  Mesh: new (geometry: unknown, material: unknown) => Object3D;
  Sprite: new (material: unknown) => Object3D;
  SphereGeometry: new (radius: number, across: number, down: number) => unknown;
  BoxGeometry: new (width: number, height: number, depth: number) => unknown;
  CapsuleGeometry: new (radius: number, length: number, caps: number, across: number) => unknown;
  MeshStandardMaterial: new (options: object) => unknown;
  SpriteMaterial: new (options: object) => unknown;
  CanvasTexture: new (canvas: HTMLCanvasElement) => unknown;
}

interface AFrame {
  THREE: Three;
  components: Record<string, unknown>;
  registerComponent(name: string, definition: object): void;
}

/** A-Frame. Throws where the page has not loaded it yet. */
export const aframe = (): AFrame => {
  const found = (globalThis as { AFRAME?: AFrame }).AFRAME;
  if (!found) throw new PresenceError('invalid_input', 'Load A-Frame before the components of @dlux/presence.');
  return found;
};
