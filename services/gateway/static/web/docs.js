// Renders the two generated documents as tables.
import { element } from './element.js';
import { asyncapi, fields, inWords, message, openapi } from './schemas.js';

const taken = (operation) => {
  const query = operation.parameters.filter((one) => one.in === 'query').map((one) => one.name);
  const schema = operation.requestBody?.content['application/json'].schema;
  return [...query, ...fields(schema, openapi).map(([name, , needed]) => (needed ? name : `${name}?`))];
};

for (const [path, methods] of Object.entries(openapi.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    document.getElementById('rest').append(element('tr', {}, '',
      element('td', {}, element('code', {}, `${method.toUpperCase()} ${path}`)),
      element('td', {}, operation.summary),
      element('td', {}, element('code', {}, taken(operation).join(', ')))));
  }
}

const described = (name, event, operation) => {
  const { payload, examples = [] } = asyncapi.components.messages[name];
  const inner = [element('summary', {}, operation.summary), element('pre', {}, inWords(payload, asyncapi))];
  if (examples.length) inner.push(element('p', {}, 'For example:'));
  inner.push(...examples.map((example) => element('pre', {}, JSON.stringify(example.payload))));
  const done = operation.reply && message('ack', event).payload.oneOf[0].allOf?.[1];
  if (operation.reply) inner.push(element('p', {}, 'Acked with ok: true, or ok: false, error, code.'));
  if (done) inner.push(element('pre', {}, inWords(done, asyncapi)));
  return element('details', {}, ...inner);
};

for (const [name, operation] of Object.entries(asyncapi.operations)) {
  const [channel, direction] = name.split('.', 2);
  const event = asyncapi.components.messages[name].name;
  const towards = channel === 'webhook' ? 'webhook' : direction === 'receive' ? 'client → server' : 'server → client';
  document.getElementById('events').append(element('tr', {}, '',
    element('td', {}, element('code', {}, event)), element('td', {}, towards), element('td', {}, described(name, event, operation))));
}
