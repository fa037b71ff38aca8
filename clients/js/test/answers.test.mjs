import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { sender, token } from './parts.mjs';

const asking = async (answer) => {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await sender(`http://127.0.0.1:${server.address().port}`)('POST', '/api/auth/refresh');
  } finally {
    server.closeAllConnections();
    server.close();
  }
};

test('a page that somebody else answers with is no answer, or a login would be lost by it', async () => {
  await assert.rejects(asking((_, response) => response.end('<html>Welcome to the hotel</html>')), { code: 'unavailable' });
});

test('an answer that is cut off is none', async () => {
  const cut = (_, response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('{"token": ', () => response.destroy());
  };
  await assert.rejects(asking(cut), { code: 'offline' });
});

test('an empty answer is one without fields', async () => {
  assert.deepEqual(await asking((_, response) => response.writeHead(204).end()), {});
});

test('a token function that failed is asked again', async () => {
  let asked = 0;
  const login = token(async () => {
    asked += 1;
    if (asked % 2) throw new TypeError('no network');
    return `t${asked}`;
  })(null);
  await assert.rejects(login.token(), { code: 'unavailable' });
  assert.equal(await login.token(), 't2');
  await assert.rejects(login.renew(), { code: 'unavailable' });
  assert.equal(await login.token(), 't4');
});
