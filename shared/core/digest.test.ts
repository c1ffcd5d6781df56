import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, emptyDigest, updateDigest } from './digest.ts';
import type { Key } from './key.ts';
import type { Stamp } from './version.ts';

const key = 'document/a/b.json' as Key;
const stamp: Stamp = { version: { revision: 1, replica: 'a' }, state: 'present', hash: 'h' };

test('a digest has 64 hex digits, also of nothing', () => {
  assert.equal(digestOf([]), emptyDigest);
  assert.match(digestOf([{ ...stamp, key }]), /^[0-9a-f]{64}$/);
});

test('what comes and goes leaves no trace', () => {
  const once = updateDigest(emptyDigest, key, undefined, stamp);
  assert.notEqual(once, emptyDigest);
  assert.equal(updateDigest(once, key, stamp, undefined), emptyDigest);
});

test('an update of nothing to nothing changes nothing', () =>
  assert.equal(updateDigest(emptyDigest, key, undefined, undefined), emptyDigest));

test('every part of an entry counts', () => {
  const of = (otherKey: Key, other: Stamp): string => digestOf([{ ...other, key: otherKey }]);
  const digests = [
    of(key, stamp),
    of('document/a/c.json' as Key, stamp),
    of(key, { ...stamp, version: { revision: 2, replica: 'a' } }),
    of(key, { ...stamp, version: { revision: 1, replica: 'b' } }),
    of(key, { ...stamp, hash: 'i' }),
    of(key, { ...stamp, state: 'deleted', hash: '' }),
    of(key, { ...stamp, hash: '' }),
    // the same letters, divided otherwise
    of(key, { ...stamp, version: { revision: 1, replica: '1a' } }),
    of(key, { ...stamp, version: { revision: 11, replica: 'a' } }),
  ];
  assert.equal(new Set(digests).size, digests.length);
});

test('an entry twice is not an entry once, nor none', () => {
  const entry = { ...stamp, key };
  assert.equal(new Set([digestOf([]), digestOf([entry]), digestOf([entry, entry])]).size, 3);
});

test('what a manifest knows beside its stamps does not count', () => {
  const entry = { ...stamp, key, base: {}, content: { bytes: 3 } };
  assert.equal(digestOf([entry]), digestOf([{ ...stamp, key }]));
});

test('digests stay 64 digits where a sum is small or passes the modulus', () => {
  let digest = emptyDigest;
  for (let revision = 1; revision <= 200; revision++) {
    digest = updateDigest(digest, key, undefined, { ...stamp, version: { revision, replica: 'a' } });
    assert.match(digest, /^[0-9a-f]{64}$/);
  }
});
