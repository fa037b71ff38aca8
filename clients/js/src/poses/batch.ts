import type { FromServer, Rotation, Vector } from '../wire/index.js';

const SIZE = 16; // bytes of a pose in `compact`

/** Calls `take` with each pose of a batch's compact part; `names` says whose number is whose. */
export const readCompact = (
  compact: unknown,
  names: ReadonlyMap<number, string>,
  take: (id: string, position: Vector, rotation: Rotation) => void,
): void => {
  const bytes = viewOf(compact);
  const position = { x: 0, y: 0, z: 0 };
  const rotation = { x: 0, y: 0, z: 0 };
  for (let at = 0; bytes && at + SIZE <= bytes.byteLength; at += SIZE) {
    const id = names.get(bytes.getUint16(at, true));
    if (id === undefined) continue;
    position.x = metres(bytes, at + 2);
    position.y = metres(bytes, at + 5);
    position.z = metres(bytes, at + 8);
    const both = bytes.getUint16(at + 13, true) | (bytes.getUint8(at + 15) << 16);
    rotation.x = ((both & 0xfff) * 360) / 4096;
    rotation.y = (bytes.getUint16(at + 11, true) * 360) / 65536;
    rotation.z = ((both >> 12) * 360) / 4096;
    take(id, position, rotation);
  }
};

const metres = (bytes: DataView, at: number): number => (bytes.getUint16(at, true) | (bytes.getInt8(at + 2) << 16)) / 1000;

const viewOf = (compact: unknown): DataView | null => {
  if (compact instanceof ArrayBuffer) return new DataView(compact);
  if (ArrayBuffer.isView(compact)) return new DataView(compact.buffer, compact.byteOffset, compact.byteLength);
  return null;
};

export type Batch = Partial<Omit<FromServer['aframe-batch'], 'compact'>> & { t: number; compact?: unknown };
