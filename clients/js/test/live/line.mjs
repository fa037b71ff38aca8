// A way to the server that can be cut, or that lets no WebSocket through.
import { connect as dial, createServer } from 'node:net';

/** Resolves with `url` of the way, `cut()` and `mend()`; with `upgrades: false` no WebSocket passes. */
export const line = async (to, { upgrades = true } = {}) => {
  const { hostname, port } = new URL(to);
  const open = new Set();
  let isCut = false;
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = dial(port, hostname);
    for (const [from, into] of [[near, far], [far, near]]) {
      open.add(from);
      from.on('data', (bytes) => {
        if (!upgrades && from === near && /^upgrade: *websocket/im.test(bytes.toString('latin1'))) near.destroy();
        else into.write(bytes);
      });
      from.on('error', () => into.destroy());
      from.on('close', () => { open.delete(from); into.destroy(); });
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    url: `http://localhost:${server.address().port}`,
    cut() {
      isCut = true;
      for (const socket of open) socket.destroy();
    },
    mend() { isCut = false; },
    close() {
      this.cut();
      server.close();
    },
  };
};
