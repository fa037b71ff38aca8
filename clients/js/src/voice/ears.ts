import type { Vector } from '../wire/index.js';
import { quaternionOf } from '../poses/rotations.js';

/** Where one hears: an Object3D of three.js (the camera), an element of A-Frame, or an object with position and rotation. */
export interface Ears {
  object3D?: Ears;
  /** Of three.js: where it is in the world, whatever it hangs on. */
  matrixWorld?: { elements: ArrayLike<number> };
  updateWorldMatrix?(parents: boolean, children: boolean): void;
  position?: Vector;
  /** Degrees as A-Frame's. Read where there is no quaternion. */
  rotation?: Vector;
  quaternion?: Vector & { w: number };
}

const turned = new Float64Array(4);

/** Writes place, direction and up (nine numbers) into `out`. */
export const listen = (ears: Ears, out: Float64Array): void => {
  const object = ears.object3D ?? ears;
  if (object.matrixWorld) {
    object.updateWorldMatrix?.(true, false);
    ofMatrix(object.matrixWorld.elements, out);
    return;
  }
  const { position, quaternion, rotation } = object;
  out[0] = position?.x ?? 0;
  out[1] = position?.y ?? 0;
  out[2] = position?.z ?? 0;
  if (quaternion) ofQuaternion(quaternion.x, quaternion.y, quaternion.z, quaternion.w, out);
  else {
    quaternionOf(rotation?.x ?? 0, rotation?.y ?? 0, rotation?.z ?? 0, turned, 0);
    ofQuaternion(turned[0]!, turned[1]!, turned[2]!, turned[3]!, out);
  }
};

const ofMatrix = (m: ArrayLike<number>, out: Float64Array): void => {
  for (let i = 0; i < 3; i++) {
    out[i] = m[12 + i]!;
    out[3 + i] = -m[8 + i]!; // who is not turned looks along -z
    out[6 + i] = m[4 + i]!;
  }
};

const ofQuaternion = (x: number, y: number, z: number, w: number, out: Float64Array): void => {
  out[3] = -2 * (x * z + w * y);
  out[4] = -2 * (y * z - w * x);
  out[5] = -1 + 2 * (x * x + y * y);
  out[6] = 2 * (x * y - w * z);
  out[7] = 1 - 2 * (x * x + z * z);
  out[8] = 2 * (y * z + w * x);
};
