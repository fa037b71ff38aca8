// What an application has beside the library: something that shows, and an object as three.js's are.
export const show = (...what: unknown[]): void => console.log(...what);

export class Object3DLike {
  readonly position = { x: 0, y: 0, z: 0, set(_x: number, _y: number, _z: number): void {} };
  readonly quaternion = { x: 0, y: 0, z: 0, w: 1, set(_x: number, _y: number, _z: number, _w: number): void {} };
  readonly matrixWorld = { elements: new Array<number>(16).fill(0) };

  constructor(readonly name: string) {}
}
