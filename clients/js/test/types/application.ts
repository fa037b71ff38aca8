// What an application in TypeScript writes, by the package's own entries. Compiled only.
import { type Message, type Thing, connect, guest } from '@dlux/presence';
import '@dlux/presence/voice';
import { sharedEntity } from '@dlux/presence/aframe';
import { useSpace } from '@dlux/presence/vue';
import { Object3DLike, show } from './page.js';

const presence = await connect('http://localhost:8080', { as: guest('Ann') });
const space = await presence.enter('post:bob/sculpture-hall');
space.on('state', (state, reason) => show(state === 'out' ? reason?.code : state));
space.people.on('enter', ({ id, name }) => show(id, name));
space.people.each(({ id, pose, entities }) => {
  pose.into(new Object3DLike(id));
  entities.get('left')?.into(new Object3DLike(id));
});
space.chat.on('message', ({ content }: Message) => show(content));
const thread: Message = await space.chat.say('Hello');
await space.chat.say('Hello', { to: thread });

const ball: Thing<{ at: number[]; colour?: string }> = space.things.make('ball', { at: [0, 1, 0] });
if (await ball.hold()) void ball.set({ at: [3, 1, 0], colour: null });
// @ts-expect-error: not a field of it
void ball.set({ wings: 2 });
const at: number[] = ball.state.at;

const microphone: MediaStream | null = await space.voice.start({ ears: new Object3DLike('camera'), relay: true });
space.voice.on('screen', (person, screen) => show(person.name, screen?.id));
// @ts-expect-error: there is no such way to hear
await space.voice.start({ ears: 'everywhere' });

const { messages, state } = useSpace(() => (at.length ? 'global:lobby' : null));
show(messages.value[0]?.content, state.value, sharedEntity(document.body)?.thing?.mine, microphone?.id);
