import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Person } from './parts.mjs';

const somebody = () => new Person({ socketId: 'r1-1', displayName: 'Ann', guest: true, position: { x: 0, y: 0, z: 0 } }, 0);
const at = (x) => ({ position: { x, y: 0, z: 0 } });

test('what somebody moves no more is forgotten, or ids that they make up would fill the page', () => {
  const person = somebody();
  for (let t = 1; t <= 1000; t++) person.moved(t, { ...at(0), entities: { [`id-${t}`]: at(1) } });
  assert.deepEqual([...person.entities.keys()], ['id-1000']);
  person.moved(1001, { ...at(0), entities: { 'id-1000': null } });
  assert.equal(person.entities.size, 0);
});

test('a position that is no number is passed over, for what is nowhere once would stay there', () => {
  const person = somebody();
  [1, 'x', {}, null, NaN, 2].forEach((x, t) => {
    person.moved(t, { ...at(0), entities: { hand: at(x) } });
    person.advance({ t, newest: t });
  });
  assert.ok(Number.isFinite(person.entities.get('hand').x));
});
