// Holds a thing until it is killed.
import { connect, guest } from '../../dist/index.js';

const { PRESENCE_URL: url, PRESENCE_SPACE: key } = process.env;
const presence = await connect(url, { as: guest('Holder') });
const space = await presence.enter(key);
if (await space.things.make('lamp').hold()) console.log('holds');
