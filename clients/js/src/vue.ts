// `@dlux/presence/vue`: composables for Vue 3.
export { type PresenceInVue, usePresence } from './vue/presence.js';
export { type SpaceInVue, useSpace } from './vue/space.js';
export type { ShownPerson, ShownThing } from './vue/shown.js';
