import { Pose } from '../poses/pose.js';
import type { Member, VoiceState } from '../wire/index.js';

/** Somebody else in the space: one connection of theirs. */
export class Person {
  /** Where they are shown. */
  readonly pose = new Pose();
  /** The newest pose as it came: `entities`, `scale` and whatever else their client says. */
  data: Readonly<Record<string, unknown>> = {};
  /** Their microphone and screen; null while they said nothing of it. */
  voice: VoiceState | null;
  /** What they look like, as their client says. */
  avatar: unknown;
  /** False while they are out of range, and not shown. */
  near = true;

  /** Their socket's id, for as long as it is here. */
  readonly id: string;
  /** Their account, proven; null for a guest. */
  readonly account: string | null;
  readonly name: string;
  readonly guest: boolean;

  /** @internal */
  constructor(member: Member, t: number) {
    this.id = member.socketId;
    this.account = member.userAccount ?? null;
    this.name = member.displayName;
    this.guest = member.guest;
    this.avatar = member.avatar_data;
    this.voice = (member.voice as VoiceState | null | undefined) ?? null;
    this.pose.put(t, member.position, undefined);
  }
}
