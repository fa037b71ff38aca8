// The shapes of the wire under the names that the library uses; what they are made of is generated.
import type { components } from './rest.js';
import type { Wire } from './socket.js';

export type FromServer = Wire['FromServer'];
export type ToServer = Wire['ToServer'];
type Schemas = components['schemas'];

/** A message of a space. `content` is null for one that was deleted, `user_account` for a guest's. */
export type Message = Omit<FromServer['chat-message'], 'reactions'> & { reactions: Reactions };
/** By emoji: how many, and the first twenty names. */
export type Reactions = Record<string, { count: number; by: string[] }>;
export type Content = Schemas['SpaceContent'];
export type SpaceSummary = Schemas['SpaceSummary'];
export type Notification = Schemas['Notification'];
export type Mention = FromServer['mention'];
export type VoiceState = ToServer['voice-state'];
export interface Vector { x: number; y: number; z: number }
/** Degrees as A-Frame's (order YXZ), or a quaternion where it has `w`. */
export interface Rotation extends Vector { w?: number }

/** An event as the server sends it to this client on entering. */
export type Snapshot = Omit<FromServer['space-joined'], 'messages' | 'settings' | 'entities'> & {
  messages: Message[];
  settings: Settings;
  entities: unknown[];
};
export type Settings = Record<string, unknown>;
export type Member = FromServer['user-joined'];
