import type { Person } from '../people/person.js';
import { type Component, type Entity, type Object3D, aframe } from './page.js';
import { presenceOf } from './scene.js';

interface Data { person: string; plain: boolean }

interface Own extends Component<Data> {
  person: Person | undefined;
  figure: { head: Object3D; body: Object3D; label: Object3D } | null;
  hands: Entity[];
}

const HEIGHT = 1.6; // metres from the floor to the eyes of the figure

const definition: Partial<Own> & ThisType<Own> & Record<string, unknown> = {
  schema: { person: { default: '' }, plain: { default: true } },

  init() {
    this.person = presenceOf(this.el.sceneEl)?.space?.people.get(this.data.person);
    if (!this.person) return;
    const { name } = this.person;
    this.el.setAttribute('data-name', name);
    this.figure = this.data.plain ? figureOf(name) : null;
    if (this.figure) this.el.setObject3D('figure', groupOf(this.figure));
    this.hands = ['left', 'right'].map((hand) => {
      const el = document.createElement('a-entity') as Entity;
      el.setAttribute('presence-hand', { hand, person: this.data.person });
      this.el.sceneEl.append(el);
      return el;
    });
  },

  tick() {
    const { person, figure, el } = this;
    if (!person) return;
    el.object3D.visible = person.near && person.pose.known;
    if (!figure) {
      person.pose.into(el.object3D);
      return;
    }
    const { x, y, z, qx, qy, qz, qw } = person.pose;
    el.object3D.position.set(x, y, z);
    figure.head.quaternion.set(qx, qy, qz, qw);
    const yaw = Math.atan2(2 * (qw * qy + qx * qz), 1 - 2 * (qx * qx + qy * qy)) / 2;
    figure.body.quaternion.set(0, Math.sin(yaw), 0, Math.cos(yaw)); // a body stays upright
  },

  remove() {
    this.el.removeObject3D('figure');
    for (const hand of this.hands ?? []) hand.remove();
  },
};

const groupOf = ({ head, body, label }: { head: Object3D; body: Object3D; label: Object3D }): Object3D => {
  const group = new (aframe().THREE.Group)();
  group.add(head, body, label);
  return group;
};

const figureOf = (name: string): { head: Object3D; body: Object3D; label: Object3D } => {
  const { THREE } = aframe();
  const colour = colourOf(name);
  const head = new THREE.Mesh(new THREE.SphereGeometry(0.15, 16, 12), new THREE.MeshStandardMaterial({ color: colour }));
  const visor = new THREE.Mesh(new THREE.BoxGeometry(0.2, 0.07, 0.1), new THREE.MeshStandardMaterial({ color: '#222' }));
  visor.position.set(0, 0.02, -0.12);
  head.add(visor);
  const body = new THREE.Mesh(new THREE.CapsuleGeometry(0.18, HEIGHT / 2, 4, 12), new THREE.MeshStandardMaterial({ color: colour }));
  body.position.set(0, -HEIGHT / 2, 0);
  const label = new THREE.Sprite(new THREE.SpriteMaterial({ map: new THREE.CanvasTexture(written(name)) }));
  label.position.set(0, 0.35, 0);
  label.scale.set(0.8, 0.2, 1);
  return { head, body, label };
};

const written = (name: string): HTMLCanvasElement => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 256, height: 64 });
  const pen = canvas.getContext('2d')!;
  Object.assign(pen, { font: '36px sans-serif', textAlign: 'center', textBaseline: 'middle', fillStyle: '#fff', strokeStyle: '#000', lineWidth: 6 });
  pen.strokeText(name, 128, 32, 250);
  pen.fillText(name, 128, 32, 250);
  return canvas;
};

// The same for the same name, on every page.
const colourOf = (name: string): string => {
  let hash = 0;
  for (const letter of name) hash = (Math.imul(hash, 31) + letter.codePointAt(0)!) | 0;
  return `hsl(${((hash % 360) + 360) % 360}, 60%, 55%)`;
};

export const registerAvatar = (): void => aframe().registerComponent('presence-avatar', definition);
