// `@dlux/presence/aframe`: components for A-Frame 1.8, which is the page's global.
//
// <a-scene presence="space: global:lobby; voice: spatial"> shows everybody who is there; `presence-hand` on a controller
// tells them where one's hand is, and `presence-entity` on an object keeps it where the server says, for everybody.
import { registerAvatar } from './aframe/avatar.js';
import { registerEntity } from './aframe/entity.js';
import { registerHand } from './aframe/hand.js';
import { aframe } from './aframe/page.js';
import { registerScene } from './aframe/scene.js';

if (!aframe().components['presence']) for (const register of [registerScene, registerAvatar, registerHand, registerEntity]) register();

export { type SharedEntity, sharedEntity } from './aframe/entity.js';
export { type ScenePresence, presenceOf } from './aframe/scene.js';
