import { PresenceError } from '../errors.js';
import { guest, keychain } from '../identity/identities.js';
import type { Person } from '../people/person.js';
import { type Presence, connect } from '../presence.js';
import type { Space } from '../space/space.js';
import '../voice.js';
import { type Component, type Entity, type Scene, aframe } from './page.js';

interface Data {
  url: string;
  space: string;
  name: string;
  account: string;
  voice: 'none' | 'spatial' | 'everywhere';
  avatar: string;
}

/** A pose that one tells beside one's own: of a hand. */
export interface Told { position: { x: number; y: number; z: number }; rotation: { x: number; y: number; z: number } }

/** The component `presence` of a scene. */
export interface ScenePresence extends Component<Data> {
  /** Null until one is in it. */
  space: Space | null;
  presence: Presence | null;
  /** Says where a hand is, or whatever else of one's own; at the tick, with one's place. */
  tell(id: string, pose: Told): void;
}

interface Own extends ScenePresence {
  turn: number; // counts spaces: what belongs to an older one is not shown
  avatars: Map<string, Entity>;
  moving: { position: unknown; quaternion: unknown; entities?: Record<string, Told> };
  told: Record<string, Told>;
  isTold: boolean;
  visit(person: Person): void;
  enter(turn: number): Promise<void>;
  follow(space: Space): void;
  leave(): void;
  show(person: Person): void;
  hide(id: string): void;
}

/** The scene's presence, once it has one. */
export const presenceOf = (scene: Scene): ScenePresence | undefined => scene.components['presence'] as ScenePresence | undefined;

const definition: Partial<Own> & ThisType<Own> & Record<string, unknown> = {
  schema: {
    url: { default: '' }, // the page's own server
    space: { default: '' },
    name: { default: '' }, // of a guest
    account: { default: '' }, // signs in by Hive Keychain
    voice: { default: 'none', oneOf: ['none', 'spatial', 'everywhere'] },
    avatar: { default: '' }, // a template's selector
  },

  init() {
    const { THREE } = aframe();
    this.space = this.presence = null;
    this.turn = 0;
    this.avatars = new Map();
    this.told = {};
    this.isTold = false;
    this.moving = { position: new THREE.Vector3(), quaternion: new THREE.Quaternion() };
    this.visit = () => {};
    this.el.addEventListener('camera-set-active', () => {
      if (this.space && this.data.voice === 'spatial') this.space.voice.ears = this.el.sceneEl.camera;
    });
  },

  update() {
    this.leave();
    if (this.data.space) {
      this.enter(this.turn).catch((error: unknown) => {
        this.el.emit('presence-state', { state: 'out', reason: PresenceError.of(error) });
      });
    }
  },

  remove() {
    this.leave();
  },

  tick() {
    const { space } = this;
    const { camera } = this.el.sceneEl;
    if (!space || !camera) return;
    camera.getWorldPosition(this.moving.position as never);
    camera.getWorldQuaternion(this.moving.quaternion as never);
    if (this.isTold) this.moving.entities = this.told;
    else delete this.moving.entities;
    this.isTold = false;
    space.me.move(this.moving as never);
    space.people.each(this.visit);
  },

  tell(id: string, pose: Told) {
    this.told[id] = pose;
    this.isTold = true;
  },

  async enter(turn: number) {
    const { url, space: key, name, account, voice } = this.data;
    const presence = await connect(url || location.origin, { as: account ? keychain(account) : guest(name || undefined) });
    const isOver = (): boolean => turn !== this.turn;
    if (isOver()) return presence.close();
    this.presence = presence;
    const space = await presence.enter(key);
    if (isOver()) return;
    this.space = space;
    this.follow(space);
    if (voice !== 'none') await space.voice.start(voice === 'spatial' ? { ears: this.el.sceneEl.camera } : {});
  },

  follow(space: Space) {
    const { turn } = this;
    space.people.on('enter', (person) => { if (turn === this.turn) this.show(person); }).on('leave', ({ id }) => this.hide(id));
    space.on('state', (state, reason) => { if (turn === this.turn) this.el.emit('presence-state', { state, reason, space }); });
    this.el.emit('presence-state', { state: space.state, space });
  },

  leave() {
    this.turn++;
    for (const id of [...this.avatars.keys()]) this.hide(id);
    void this.presence?.close();
    this.space = this.presence = null;
  },

  show(person: Person) {
    const avatar = document.createElement('a-entity') as Entity;
    const template = this.data.avatar ? document.querySelector<HTMLTemplateElement>(this.data.avatar) : null;
    if (template) avatar.append(template.content.cloneNode(true));
    avatar.setAttribute('presence-avatar', { person: person.id, plain: !template });
    this.avatars.set(person.id, avatar);
    this.el.append(avatar);
  },

  hide(id: string) {
    this.avatars.get(id)?.remove();
    this.avatars.delete(id);
  },
};

export const registerScene = (): void => aframe().registerComponent('presence', definition);
