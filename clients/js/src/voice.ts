// `import '@dlux/presence/voice'` gives every space its `voice`.
import { Space } from './space/space.js';
import { Voice } from './voice/voice.js';

declare module './space/space.js' {
  interface Space {
    /** Voices and screens; there once `@dlux/presence/voice` is imported. */
    readonly voice: Voice;
  }
}

const voices = new WeakMap<Space, Voice>();

Object.defineProperty(Space.prototype, 'voice', {
  configurable: true,
  get(this: Space): Voice {
    const voice = voices.get(this) ?? new Voice(this, this.server);
    voices.set(this, voice);
    return voice;
  },
});

export type { Ears } from './voice/ears.js';
export type { Voice, VoiceEvents, VoiceOptions } from './voice/voice.js';
