import type { Moment } from '../poses/playback.js';
import { Pose } from '../poses/pose.js';
import type { Member, Rotation, Vector, VoiceState } from '../wire/index.js';

/** Somebody else in the space: one connection of theirs. */
export class Person {
  /** Where they are shown. */
  readonly pose = new Pose();
  /** Where what they move is shown (their hands, ...), by the ids that their client gives: `me.move({ entities })`. */
  readonly entities = new Map<string, Pose>();
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

  readonly #poses: Pose[] = []; // of `entities`, for `advance`, which makes no garbage

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

  /** @internal Takes a pose of the server's time `t`. */
  moved(t: number, data: Readonly<Record<string, unknown>>): void {
    this.near = true;
    this.data = data;
    this.pose.put(t, (data as Moved).position, (data as Moved).rotation);
    const entities = (data['entities'] ?? {}) as Record<string, Moved | null>;
    for (const [id, pose] of this.entities) if (!entities[id]) this.#drop(id, pose);
    for (const id of Object.keys(entities)) {
      const moved = entities[id];
      if (!moved) continue;
      let pose = this.entities.get(id);
      if (!pose) {
        this.entities.set(id, pose = new Pose());
        this.#poses.push(pose);
      }
      if (isFinite(moved.position) && isFinite(moved.rotation)) pose.put(t, moved.position, moved.rotation);
    }
  }

  // A pose says all that is moved: what it names no more is moved no more.
  #drop(id: string, pose: Pose): void {
    this.entities.delete(id);
    this.#poses.splice(this.#poses.indexOf(pose), 1);
  }

  /** @internal Goes to a moment. */
  advance(moment: Moment): void {
    this.pose.advance(moment);
    for (let i = 0; i < this.#poses.length; i++) this.#poses[i]!.advance(moment);
  }

  /** @internal They are out of range. */
  away(): void {
    this.near = false;
    this.pose.forget();
    this.entities.clear();
    this.#poses.length = 0;
  }
}

type Moved = { readonly position?: Vector; readonly rotation?: Rotation };

// Of entities the server checks nothing, and a pose that is no number once never is one again.
const isFinite = (parts: object | undefined): boolean => Object.values(parts ?? {}).every(Number.isFinite);
