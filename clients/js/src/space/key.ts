import { PresenceError } from '../errors.js';

/** A space and the part of it: `post:bob/sculpture-hall`, or with a subspace `post:bob/sculpture-hall:upstairs`. */
export interface Key { type: string; id: string; subspace: string }

/** Reads a key. Throws `invalid_input`. */
export const parseKey = (text: string, subspace?: string): Key => {
  const [, type, id, part] = /^([a-z]+):([^:]+)(?::([\w-]{1,64}))?$/.exec(text) ?? [];
  if (!type || !id) throw new PresenceError('invalid_input', `Not a space: ${text}. Write its type and id, such as post:bob/hall.`);
  return { type, id, subspace: subspace ?? part ?? 'main' };
};

/** The space's part of REST's paths. */
export const pathOf = ({ type, id }: Key): string => `${type}/${id.split('/').map(encodeURIComponent).join('/')}`;
