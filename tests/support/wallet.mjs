// The wallet script's steps, as a page of dlux.io makes them, driven like robot.mjs: it makes its challenge itself, has it
// signed (the test stands in for Keychain), joins over REST, and dials the `websocket_url` it is given as it is.
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';
const rooms = new Map();
const tell = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const random9 = () => Array.from({ length: 9 }, () => LETTERS[Math.floor(Math.random() * LETTERS.length)]).join('');

// The ways in which a signature is sent: headers and body.
const forms = {
  body: ({ account, signature, challenge }) => [{ Authorization: `Bearer ${signature}:${account}` }, { subspace: 'main', challenge }],
  header: ({ account, signature, challenge }) => [
    { Authorization: `Bearer ${signature}:${account}`, 'X-Challenge': encodeURIComponent(challenge) }, { subspace: 'main' },
  ],
  seed: ({ account, signature, challenge }) => [
    { Authorization: `Bearer ${signature}`, 'X-Account': account, 'X-Challenge': encodeURIComponent(challenge) }, { subspace: 'main' },
  ],
  object: ({ signature, challenge }) => [
    { Authorization: `Bearer ${JSON.stringify({ signature, pubKey: 'STM1' })}` }, { subspace: 'main', challenge },
  ],
};

const commands = {
  // `age`: milliseconds since it was made.
  challenge: ({ age = 0 }) => `dlux_vr_${Date.now() - age}_${random9()}`,
  async join({ url, space, form, ...signed }) {
    const [headers, body] = forms[form](signed);
    const answer = await fetch(`${url}/api/spaces/${space}/join`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, ...(await answer.json()) };
  },
  // Opens a room's WebSocket; `options.first` is what it says first.
  connect({ name, url, options }) {
    const room = new WebSocket(url);
    rooms.set(name, room);
    room.on('open', () => room.send(JSON.stringify(options.first)));
    room.on('message', (data) => {
      const message = JSON.parse(data);
      tell({ name, event: message.type, data: message });
    });
    room.on('close', (code) => tell({ name, event: 'closed', data: { code } }));
    room.on('error', (error) => tell({ name, event: 'failed', data: { message: error.message } }));
    return true;
  },
  say({ name, message }) {
    rooms.get(name).send(JSON.stringify(message));
    return true;
  },
  hang_up({ name }) {
    rooms.get(name).close();
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
