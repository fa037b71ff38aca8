// A Node process of many people on the stock socket.io-client, as tests/support/crowd.py tells it: each connects, enters
// the space, believes what it is told, and does nothing about a lost connection but what the library does by itself.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const ACK_MS = 10_000;
const AGAIN_MS = 1000; // before a join that was refused is asked for again, as any front end would
const people = [];

class Person {
  constructor(url, token, space, options) {
    this.space = space;
    this.model = new Set(); // socket ids of the others
    this.inside = false;
    this.connects = 0;
    this.turnedAway = 0;
    this.refusals = []; // CONNECT_ERRORs: after one, the library never tries again
    this.faults = []; // what nobody must ever be told
    this.socket = io(url, { forceNew: true, auth: { token }, ...options });
    const { socket } = this;
    socket.on('connect', () => { this.connects += 1; this.enter(socket.id); });
    socket.on('connect_error', (error) => { if (error.data) this.refusals.push(error.data); });
    socket.on('disconnect', () => {
      if (!this.inside) this.turnedAway += 1;
      this.inside = false;
      this.model.clear();
    });
    socket.on('space-joined', ({ users }) => { this.inside = true; this.model = new Set(users.map((user) => user.socketId)); });
    socket.on('user-joined', ({ socketId }) => {
      if (this.model.has(socketId)) this.faults.push(`${socketId} announced twice`);
      this.model.add(socketId);
    });
    socket.on('user-left', ({ socketId }) => {
      if (!this.model.delete(socketId)) this.faults.push(`${socketId} left and was not there`);
    });
    socket.on('kicked', ({ reason }) => this.faults.push(`kicked: ${reason}`));
  }

  async enter(sid) {
    const [spaceType, spaceId] = this.space;
    while (this.socket.connected && this.socket.id === sid) {
      const ack = await this.socket.timeout(ACK_MS).emitWithAck('join-space', { spaceType, spaceId }).catch(() => ({ ok: false }));
      if (ack.ok) return;
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  // Inside, and knows exactly those who are connected.
  isRight(sids) {
    return this.inside && this.model.size === sids.size - 1 && !this.model.has(this.socket.id) && [...this.model].every((sid) => sids.has(sid));
  }
}

const commands = {
  begin({ url, tokens, space, options }) {
    for (const token of tokens) people.push(new Person(url, token, space, options ?? {}));
    return people.length;
  },
  picture() {
    const sids = new Set(people.map(({ socket }) => socket.id));
    const sum = (count) => people.reduce((total, person) => total + count(person), 0);
    return {
      people: people.length,
      inside: sum(({ inside }) => Number(inside)),
      right: sum((person) => Number(person.isRight(sids))),
      connects: sum(({ connects }) => connects),
      turned_away: sum(({ turnedAway }) => turnedAway),
      refusals: people.flatMap(({ refusals }) => refusals),
      faults: people.flatMap(({ faults }) => faults),
    };
  },
  end() {
    for (const { socket } of people.splice(0)) socket.disconnect();
    return true;
  },
};

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, command, ...parameters } = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ id, result: commands[command](parameters) })}\n`);
}).on('close', () => process.exit(0));
