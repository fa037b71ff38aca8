// The plain page: enter a space as a guest, see who is there, move, chat, talk.
import { Voice } from './voice.js';

const $ = (id) => document.getElementById(id);
const METRES = 12; // shown to each side of the origin
const STEP = 0.5;
const people = new Map(); // socket id → {name, x, z, voice}
let socket = null;
let voice = null;
let me = { x: 0, z: 0 };

const api = async (path, body, token) => {
  const options = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) };
  if (token) options.headers = { Authorization: `Bearer ${token}` };
  const response = await fetch(path, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
};

const say = (text) => { $('status').textContent = text; };

const line = (text, who) => {
  const item = document.createElement('li');
  if (who) {
    const name = document.createElement('b');
    name.textContent = who;
    item.append(name);
  } else {
    item.className = 'event';
  }
  item.append(text);
  $('messages').append(item);
  item.scrollIntoView({ block: 'nearest' });
};

const colour = (id) => `hsl(${[...id].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 360, 7)} 65% 50%)`;

const draw = () => {
  const canvas = $('map');
  const pen = canvas.getContext('2d');
  const scale = Math.min(canvas.width, canvas.height) / (2 * METRES);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.font = '13px system-ui';
  pen.textAlign = 'center';
  for (const [id, person] of people) {
    const x = canvas.width / 2 + person.x * scale;
    const y = canvas.height / 2 + person.z * scale;
    pen.fillStyle = colour(id);
    pen.beginPath();
    pen.arc(x, y, 8, 0, 2 * Math.PI);
    pen.fill();
    pen.fillText(person.name, x, y - 13);
  }
  $('people').replaceChildren(...[...people].map(([id, person]) => {
    const item = document.createElement('li');
    item.textContent = `${person.name}${id === socket?.id ? ', you' : ''}${sound(id, person)}`;
    return item;
  }));
  $('count').textContent = `(${people.size})`;
  $('talk').setAttribute('aria-pressed', voice?.on ?? false);
};

const sound = (id, person) => {
  if (voice?.hears(id)) return ' · heard';
  return person.voice ? ' · talks' : '';
};

const place = (id, position) => {
  const person = people.get(id);
  if (person && position) Object.assign(person, { x: position.x, z: position.z });
};

const arrive = (user) => {
  people.set(user.socketId, { name: user.displayName, x: 0, z: 0, voice: user.voice?.enabled });
  place(user.socketId, user.position);
};

const move = (x, z) => {
  const clamp = (value) => Math.max(-METRES, Math.min(METRES, value));
  me = { x: clamp(x), z: clamp(z) };
  place(socket.id, me);
  draw();
  socket.emit('aframe-update', { position: { x: me.x, y: 1.6, z: me.z }, rotation: { x: 0, y: 0, z: 0 } });
};

const show = (state, guest) => {
  people.clear();
  state.users.forEach(arrive);
  people.set(socket.id, { name: guest.display_name, ...me });
  $('messages').replaceChildren();
  state.messages.forEach((message) => line(message.content ?? '(deleted)', message.display_name));
  $('room').hidden = false;
  if (voice.on || state.you.voice?.enabled) voice.tell(); // a page that was loaded again has no microphone yet
  say(`In ${state.spaceType}:${state.spaceId}, connected to ${socket.id.split('-')[0]}.`);
  draw();
};

const connect = (admission, guest, space) => {
  voice?.stop();
  socket?.disconnect();
  socket = window.io(window.location.origin, { auth: { token: admission.session_token } });
  voice = new Voice(socket, () => api('/api/turn-credentials', undefined, guest.token), draw);
  const here = socket;
  const join = () => here.emit('join-space', {
    spaceType: space.space_type, spaceId: space.space_id, position: { x: me.x, y: 1.6, z: me.z },
  }, (ack) => ack.ok || say(ack.error));
  socket.on('space-joined', (snapshot) => show(snapshot, guest));
  socket.on('connect', join);
  socket.on('connect_error', (error) => say(`Not connected: ${error.message}`));
  socket.on('disconnect', (reason) => say(`Disconnected (${reason}); connecting again…`));
  socket.on('user-joined', (user) => { arrive(user); line(`${user.displayName} came in.`); draw(); });
  socket.on('user-left', (user) => {
    line(`${people.get(user.socketId)?.name ?? 'Someone'} left.`);
    people.delete(user.socketId);
    draw();
  });
  socket.on('aframe-update', (pose) => { place(pose.socketId, pose.entityData.position); draw(); });
  socket.on('voice-state', (state) => {
    const person = people.get(state.socketId);
    if (person) person.voice = state.enabled;
    draw();
  });
  socket.on('chat-message', (message) => line(message.content, message.display_name));
  socket.on('chat-error', (error) => say(error.error));
};

$('enter').addEventListener('submit', async (event) => {
  event.preventDefault();
  const space = JSON.parse($('space').value);
  me = { x: Math.round(Math.random() * 12 - 6), z: Math.round(Math.random() * 12 - 6) };
  try {
    const name = $('name').value.trim();
    const guest = await api('/api/auth/guest', name ? { display_name: name } : {});
    const path = `/api/spaces/${space.space_type}/${space.space_id}/join`;
    connect(await api(path, { subspace: 'main' }, guest.token), guest, space);
  } catch (error) {
    say(error.message);
  }
});

$('say').addEventListener('submit', (event) => {
  event.preventDefault();
  const content = $('text').value;
  socket.emit('chat-message', { content, client_message_id: crypto.randomUUID?.() });
  $('text').value = '';
});

$('talk').addEventListener('click', async () => {
  try {
    if (voice.on) voice.stop();
    else await voice.start();
    people.get(socket.id).voice = voice.on;
    draw();
  } catch (error) {
    say(`No microphone: ${error.message}`);
  }
});

$('map').addEventListener('pointerdown', (event) => {
  const canvas = $('map');
  const box = canvas.getBoundingClientRect();
  const scale = Math.min(canvas.width, canvas.height) / (2 * METRES);
  const x = ((event.clientX - box.left) / box.width) * canvas.width - canvas.width / 2;
  const z = ((event.clientY - box.top) / box.height) * canvas.height - canvas.height / 2;
  move(x / scale, z / scale);
});

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
$('map').addEventListener('keydown', (event) => {
  const step = ARROWS[event.key];
  if (!step) return;
  event.preventDefault();
  move(me.x + step[0], me.z + step[1]);
});

const { spaces } = await api('/api/spaces?limit=50');
$('space').replaceChildren(...spaces.map((space) => {
  const option = document.createElement('option');
  option.value = JSON.stringify({ space_type: space.space_type, space_id: space.space_id });
  option.textContent = `${space.display_name} · ${space.type}${space.active_users ? ` · ${space.active_users} here` : ''}`;
  return option;
}));
