// A Node process that drives real socket.io-client sockets as tests/support/node.py tells it:
// one JSON command a line on stdin, one JSON answer or event a line on stdout.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const sockets = new Map();
const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
// A value in which every {"$bytes": "<base64>"} has become a Buffer.
const revive = (value) => {
  if (value?.$bytes) return Buffer.from(value.$bytes, 'base64');
  if (Array.isArray(value)) return value.map(revive);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, revive(part)]));
  return value;
};

const commands = {
  connect({ name, url, options }) {
    const socket = io(url, { forceNew: true, ...options });
    sockets.set(name, socket);
    const about = () => ({ sid: socket.id, transport: socket.io.engine.transport.name });
    socket.on('connect', () => tell({ name, event: 'connect', data: about() }));
    socket.io.on('open', () => socket.io.engine.on('upgrade', () => tell({ name, event: 'upgrade', data: about() })));
    socket.on('connect_error', (error) => tell({ name, event: 'connect_error', data: { message: error.message, data: error.data } }));
    socket.on('disconnect', (reason) => tell({ name, event: 'disconnect', data: { reason } }));
    socket.onAny((event, data) => tell({ name, event, data }));
    return true;
  },
  async emit({ name, event, payload, timeout }) {
    const socket = sockets.get(name);
    const args = payload === undefined ? [] : [revive(payload)];
    return socket.timeout(timeout).emitWithAck(event, ...args);
  },
  async burst({ name, event, payloads, timeout }) {
    const socket = sockets.get(name).timeout(timeout);
    return Promise.all(payloads.map((payload) => socket.emitWithAck(event, payload).catch((error) => ({ ok: false, error: error.message }))));
  },
  // Sends all of them, `window` at a time, each again until it is acknowledged; the acks, in order.
  async pour({ name, event, payloads, window, timeout }) {
    const socket = sockets.get(name).timeout(timeout);
    const acks = [];
    let next = 0;
    const worker = async () => {
      while (next < payloads.length) {
        const number = next++;
        do {
          acks[number] = await socket.emitWithAck(event, payloads[number]).catch((error) => ({ ok: false, error: error.message }));
        } while (!acks[number].ok);
      }
    };
    await Promise.all(Array.from({ length: window }, worker));
    return acks;
  },
  send({ name, event, payload }) {
    sockets.get(name).emit(event, payload);
    return true;
  },
  raw({ name, text }) {
    sockets.get(name).io.engine.write(text);
    return true;
  },
  disconnect({ name }) {
    sockets.get(name).disconnect();
    return true;
  },
};

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, command, ...parameters } = JSON.parse(line);
  try {
    tell({ id, result: await commands[command](parameters) });
  } catch (error) {
    tell({ id, failure: error.message });
  }
}).on('close', () => process.exit(0));
