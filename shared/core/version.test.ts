import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareStamp, formatVersion, sameVersion, type Stamp } from './version.ts';

const present = (revision: number, replica = 'a', hash = 'h'): Stamp => ({ version: { revision, replica }, state: 'present', hash });
const deleted = (revision: number, replica = 'a'): Stamp => ({ version: { revision, replica }, state: 'deleted', hash: '' });
const wins = (winner: Stamp, loser: Stamp): void => {
  assert.ok(compareStamp(winner, loser) > 0);
  assert.ok(compareStamp(loser, winner) < 0);
};

test('the higher revision wins, whatever else', () => wins(deleted(10, 'a'), present(9, 'z', 'z')));
test('at equal revision present wins over deleted, whatever the replica', () => wins(present(2, 'a', 'a'), deleted(2, 'z')));
test('then the greater replica id wins, by code unit', () => {
  wins(present(2, 'b', 'a'), present(2, 'a', 'z'));
  wins(present(2, 'a', 'a'), present(2, 'Z', 'z'));
  wins(deleted(2, 'b'), deleted(2, 'a'));
});
test('then the greater hash wins: one replica may have published twice under one revision', () =>
  wins(present(2, 'a', 'h2'), present(2, 'a', 'h1')));
test('equal stamps are equal', () => assert.equal(compareStamp(present(2), present(2)), 0));

test('versions are the same only with equal revision and replica', () => {
  assert.ok(sameVersion({ revision: 1, replica: 'a' }, { revision: 1, replica: 'a' }));
  assert.ok(!sameVersion({ revision: 1, replica: 'a' }, { revision: 2, replica: 'a' }));
  assert.ok(!sameVersion({ revision: 1, replica: 'a' }, { revision: 1, replica: 'b' }));
  assert.equal(formatVersion({ revision: 12, replica: 'a' }), '12@a');
});
