// The generated documents, and what their schemas say in words.
const load = async (path) => (await fetch(path)).json();
export const [openapi, asyncapi] = await Promise.all([load('/openapi.json'), load('/asyncapi.json')]);

export const resolved = (schema, document) => {
  const parts = schema?.$ref?.slice(2).split('/');
  return parts ? resolved(parts.reduce((found, part) => found[part], document), document) : schema ?? {};
};

// The type of a field: 'string', 'Position', 'Thing[]', 'string | null'.
export const kind = (schema) => {
  if (schema.$ref) return schema.$ref.split('/').pop().replace(/Signal$/, '');
  const some = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (some) return [...new Set(some.map(kind))].join(' | ');
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.type === 'array') return `${schema.items ? kind(schema.items) : 'any'}[]`;
  return [schema.type ?? 'any'].flat().join(' | ');
};

// [name, type, whether it is required] of each field of an object.
export const fields = (schema, document) => {
  const known = resolved(schema, document);
  return Object.entries(known.properties ?? {}).map(([name, field]) => [name, kind(field), (known.required ?? []).includes(name)]);
};

export const inWords = (schema, document) => fields(schema, document)
  .map(([name, type, needed]) => `${name}${needed ? '' : '?'}: ${type}`).join('\n');

// The message that travels on the socket: `direction` is receive, send or ack, as the server sees it.
export const message = (direction, event) => asyncapi.components.messages[`socket.${direction}.${event}`];
