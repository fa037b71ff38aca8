// Renders the two generated documents as tables.
const load = async (path) => (await fetch(path)).json();
const cell = (text, code) => {
  const item = document.createElement('td');
  const inner = code ? document.createElement('code') : item;
  inner.textContent = text;
  if (code) item.append(inner);
  return item;
};
const row = (...cells) => {
  const item = document.createElement('tr');
  item.append(...cells);
  return item;
};
const bodyFields = (operation, schemas) => {
  const schema = operation.requestBody?.content['application/json'].schema;
  const named = schema?.$ref ? schemas[schema.$ref.split('/').pop()] : schema;
  return Object.keys(named?.properties ?? {});
};

const openapi = await load('/openapi.json');
for (const [path, methods] of Object.entries(openapi.paths)) {
  for (const [method, operation] of Object.entries(methods)) {
    const query = operation.parameters.filter((one) => one.in === 'query').map((one) => one.name);
    const fields = [...query, ...bodyFields(operation, openapi.components.schemas)];
    document.getElementById('rest').append(
      row(cell(`${method.toUpperCase()} ${path}`, true), cell(operation.summary), cell(fields.join(', '), true)),
    );
  }
}
const asyncapi = await load('/asyncapi.json');
for (const [name, operation] of Object.entries(asyncapi.operations)) {
  const [channel, direction] = name.split('.', 2);
  const event = asyncapi.components.messages[name].name;
  const towards = channel === 'webhook' ? 'webhook' : direction === 'receive' ? 'client → server' : 'server → client';
  document.getElementById('events').append(row(cell(event, true), cell(towards), cell(operation.summary)));
}
