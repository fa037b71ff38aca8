// Rotations on the wire are A-Frame's: degrees, applied in the order Y, X, Z. Shown ones are quaternions.

const HALF_RADIAN = Math.PI / 360;
const DEGREES = 180 / Math.PI;

/** Writes the quaternion (x, y, z, w) of three angles in degrees into `out`. */
export const quaternionOf = (x: number, y: number, z: number, out: Float64Array, at: number): void => {
  const cx = Math.cos(x * HALF_RADIAN), cy = Math.cos(y * HALF_RADIAN), cz = Math.cos(z * HALF_RADIAN);
  const sx = Math.sin(x * HALF_RADIAN), sy = Math.sin(y * HALF_RADIAN), sz = Math.sin(z * HALF_RADIAN);
  out[at] = sx * cy * cz + cx * sy * sz;
  out[at + 1] = cx * sy * cz - sx * cy * sz;
  out[at + 2] = cx * cy * sz - sx * sy * cz;
  out[at + 3] = cx * cy * cz + sx * sy * sz;
};

export interface Angles { x: number; y: number; z: number }

/** Writes the three angles in degrees of a quaternion into `out`. */
export const anglesOf = (x: number, y: number, z: number, w: number, out: Angles): void => {
  const sine = Math.min(1, Math.max(-1, 2 * (w * x - y * z)));
  out.x = Math.asin(sine) * DEGREES;
  if (Math.abs(sine) < 0.9999999) {
    out.y = Math.atan2(2 * (x * z + w * y), 1 - 2 * (x * x + y * y)) * DEGREES;
    out.z = Math.atan2(2 * (x * y + w * z), 1 - 2 * (x * x + z * z)) * DEGREES;
  } else { // straight up or down: yaw and roll are one
    out.y = Math.atan2(-2 * (x * z - w * y), 1 - 2 * (y * y + z * z)) * DEGREES;
    out.z = 0;
  }
};
