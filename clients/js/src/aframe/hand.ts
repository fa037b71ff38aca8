import type { Person } from '../people/person.js';
import type { Pose } from '../poses/pose.js';
import { anglesOf } from '../poses/rotations.js';
import { type Component, type Object3D, type Quaternion, type Vector3, aframe } from './page.js';
import { type Told, presenceOf } from './scene.js';

interface Data { hand: 'left' | 'right'; person: string }

interface Own extends Component<Data> {
  person: Person | undefined;
  pose: Pose | undefined;
  mesh: Object3D | null;
  told: Told;
  position: Vector3;
  quaternion: Quaternion;
  last: { position: Vector3; quaternion: Quaternion };
  tell(): void;
}

const STILL_METRES = 0.002;
const STILL_RADIANS = 0.01;

// One's own hand is told to the others; with `person` it is that person's, and shown.
const definition: Partial<Own> & ThisType<Own> & Record<string, unknown> = {
  schema: { hand: { default: 'left', oneOf: ['left', 'right'] }, person: { default: '' } },

  init() {
    const { THREE } = aframe();
    const { person } = this.data;
    this.person = person ? presenceOf(this.el.sceneEl)?.space?.people.get(person) : undefined;
    this.mesh = person ? new THREE.Mesh(new THREE.BoxGeometry(0.08, 0.04, 0.12), new THREE.MeshStandardMaterial({ color: '#ccc' })) : null;
    if (this.mesh) this.el.setObject3D('mesh', this.mesh);
    this.el.object3D.visible = !person;
    this.told = { position: { x: 0, y: 0, z: 0 }, rotation: { x: 0, y: 0, z: 0 } };
    this.position = new THREE.Vector3();
    this.quaternion = new THREE.Quaternion();
    this.last = { position: new THREE.Vector3(Infinity), quaternion: new THREE.Quaternion() };
  },

  tick() {
    if (!this.data.person) {
      this.tell();
      return;
    }
    this.pose = this.person?.entities.get(this.data.hand);
    this.el.object3D.visible = this.person?.near === true && this.pose?.known === true;
    this.pose?.into(this.el.object3D as never);
  },

  tell() {
    const { object3D } = this.el;
    const { position, quaternion, last, told } = this;
    if (!object3D.visible) return;
    object3D.getWorldPosition(position);
    object3D.getWorldQuaternion(quaternion);
    const isStill = position.distanceToSquared(last.position) < STILL_METRES ** 2 && quaternion.angleTo(last.quaternion) < STILL_RADIANS;
    if (isStill) return;
    last.position.copy(position);
    last.quaternion.copy(quaternion);
    told.position.x = position.x;
    told.position.y = position.y;
    told.position.z = position.z;
    anglesOf(quaternion.x, quaternion.y, quaternion.z, quaternion.w, told.rotation);
    presenceOf(this.el.sceneEl)?.tell(this.data.hand, told);
  },

  remove() {
    if (this.mesh) this.el.removeObject3D('mesh');
  },
};

export const registerHand = (): void => aframe().registerComponent('presence-hand', definition);
