import type { FromServer, Message, Reactions } from '../wire/index.js';

type Edited = FromServer['chat-message-edited'];
type Deleted = FromServer['chat-message-deleted'];

/** The messages that are known, oldest first, each once. Its methods return what changed. */
export class Messages {
  readonly list: Message[] = [];
  readonly #byId = new Map<string, Message>();

  get(id: string | null | undefined): Message | undefined {
    return id ? this.#byId.get(id) : undefined;
  }

  /** Adds one at its place; false if it is there already. */
  add(message: Message): boolean {
    if (this.#byId.has(message.id)) return false;
    this.#byId.set(message.id, message);
    let at = this.list.length;
    while (at > 0 && this.list[at - 1]!.seq > message.seq) at--;
    this.list.splice(at, 0, message);
    return true;
  }

  /** Brings one that is known up to date. */
  update(message: Message): Message | null {
    const known = this.#byId.get(message.id);
    if (!known || JSON.stringify(known) === JSON.stringify(message)) return null;
    return Object.assign(known, message);
  }

  edit({ id, content, mentions, updated_at }: Edited): Message | null {
    const known = this.#byId.get(id);
    return known ? Object.assign(known, { content, mentions, updated_at, is_edited: true }) : null;
  }

  delete({ id, deleted_at }: Deleted): Message | null {
    const known = this.#byId.get(id);
    const gone = { content: null, mentions: [], reactions: {}, is_deleted: true, updated_at: deleted_at };
    return known ? Object.assign(known, gone) : null;
  }

  react(id: string, reactions: Reactions): Message | null {
    const known = this.#byId.get(id);
    return known ? Object.assign(known, { reactions }) : null;
  }

  /** One reply more, or less. */
  count(parent: string | null | undefined, by: 1 | -1): Message | null {
    const known = this.get(parent);
    return known ? Object.assign(known, { thread_count: Math.max(0, known.thread_count + by) }) : null;
  }

  /** Forgets those below a number: nobody knows whether they still say this. */
  forgetBelow(seq: number): void {
    const from = this.list.findIndex((message) => message.seq >= seq);
    for (const { id } of this.list.splice(0, from < 0 ? this.list.length : from)) this.#byId.delete(id);
  }
}
