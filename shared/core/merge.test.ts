import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isConflict, merge } from './merge.ts';
import { baseOn, type Base, type Stamp, type Version } from './version.ts';

const at = (revision: number, replica = 'a'): Version => ({ revision, replica });
const put = (version: Version, hash: string, base: Base = {}) => ({ version, state: 'present' as const, hash, base });
const remove = (version: Version, base: Base = {}) => ({ version, state: 'deleted' as const, hash: '', base });

test('the first change of a key is taken', () => assert.equal(merge(undefined, put(at(1), 'h')), 'take'));
test('a late put loses to the tombstone', () => assert.equal(merge(remove(at(5)), put(at(3), 'h')), 'keep'));
test('a put that knew the tombstone brings the key back', () => assert.equal(merge(remove(at(5)), put(at(6), 'h', { a: 5 })), 'take'));
test('a deletion and a put at one revision: present wins, whichever comes first', () => {
  const [un, pin]: Stamp[] = [remove(at(2, 'z')), put(at(2, 'a'), 'h')];
  assert.ok(un !== undefined && pin !== undefined);
  assert.equal(merge(un, pin), 'take');
  assert.equal(merge(pin, un), 'keep');
});
test('a change that is known already is the same, not new', () => assert.equal(merge(put(at(2), 'h'), put(at(2), 'h', { a: 1 })), 'same'));

test('a change based on what it replaces is no conflict', () => {
  assert.equal(isConflict(put(at(2, 'b'), 'new', { a: 1 }), put(at(1, 'a'), 'old')), false);
  assert.equal(isConflict(remove(at(2, 'b'), { a: 1 }), put(at(1, 'a'), 'old')), false);
});

test('two changes of one base are a conflict', () => {
  assert.equal(isConflict(put(at(2, 'b'), 'theirs', { a: 1 }), put(at(2, 'a'), 'ours')), true);
  assert.equal(isConflict(put(at(3, 'b'), 'theirs', { b: 2 }), put(at(2, 'a'), 'ours')), true);
});

test('an edit against a deletion is a conflict, in both directions', () => {
  assert.equal(isConflict(put(at(2, 'b'), 'edited', { a: 1 }), remove(at(2, 'a'))), true);
  assert.equal(isConflict(remove(at(3, 'b'), { b: 2 }), put(at(2, 'a'), 'edited')), true);
});

test('two first versions of one key are a conflict only if they differ', () => {
  assert.equal(isConflict(put(at(1, 'b'), 'theirs'), put(at(1, 'a'), 'ours')), true);
  assert.equal(isConflict(put(at(1, 'b'), 'same'), put(at(1, 'a'), 'same')), false);
});

test('an edit that two others overtook unseen is a conflict, however far they got', () => {
  const first = put(at(1, 'b'), 'first');
  const theirs = put(at(4, 'x'), 'theirs', baseOn(put(at(3, 'a'), 'h', baseOn(put(at(2, 'b'), 'h', baseOn(first))))));
  assert.equal(isConflict(theirs, put(at(2, 'c'), 'ours', baseOn(first))), true);
  assert.deepEqual(theirs.base, { b: 2, a: 3 });
});

test('two deletions are never a conflict', () => assert.equal(isConflict(remove(at(3, 'b'), { b: 2 }), remove(at(2, 'a'))), false));

test('an ancestor that is met late is no conflict', () => {
  assert.equal(isConflict(put(at(5, 'b'), 'new', { a: 4 }), put(at(2, 'a'), 'old')), false);
});

test('a change is never in conflict with itself', () => {
  assert.equal(isConflict(put(at(2), 'h', { a: 1 }), put(at(2), 'h')), false);
});

test('two contents under one version are a conflict: two agents share a replica id', () => {
  assert.equal(isConflict(put(at(2), 'h2', { a: 1 }), put(at(2), 'h1')), true);
});
