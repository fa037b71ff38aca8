// The parts of the library that the tests reach into, which no entry exports: bundled afresh, so that no test is stale.
import { build } from 'esbuild';

const parts = {
  Playback: 'poses/playback', Pose: 'poses/pose', readCompact: 'poses/batch', Outbox: 'space/outbox',
  Renewing: 'identity/renewing', Store: 'identity/store', parseKey: 'space/key', PresenceError: 'errors', Messages: 'chat/messages',
  People: 'people/people', Person: 'people/person', Clock: 'clock', sender: 'server', token: 'identity/identities', Ice: 'voice/ice', listen: 'voice/ears',
};
const contents = Object.entries(parts).map(([name, file]) => `export { ${name} } from './src/${file}.ts';`).join('\n');
const { outputFiles } = await build({
  stdin: { contents, resolveDir: new URL('..', import.meta.url).pathname }, bundle: true, format: 'esm', write: false,
  external: ['socket.io-client'],
});
const bundle = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
export const { Playback, Pose, readCompact, Outbox, Renewing, Store, parseKey, PresenceError, Messages, People, Person, Clock, sender, token, Ice, listen } = bundle;
