import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalJson, contentHash, sha256 } from './hash.ts';

test('canonical JSON has sorted keys at every level and no white space', () => {
  assert.equal(canonicalJson({ b: [{ z: 1, y: null }], a: { d: 'x', c: true } }), '{"a":{"c":true,"d":"x"},"b":[{"y":null,"z":1}]}');
});

test('the order of an array is content and stays', () => assert.notEqual(canonicalJson([1, 2]), canonicalJson([2, 1])));

test('equal contents have equal hashes, in whatever order their keys were written', () => {
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(
      Object.entries(value)
        .toReversed()
        .map(([key, part]) => [key, shuffled(part)]),
    );
  };
  fc.assert(
    fc.property(fc.jsonValue(), (value) => assert.equal(contentHash(shuffled(value)), contentHash(value))),
    { numRuns: 500 },
  );
});

test('canonical JSON says the same as the value', () => {
  fc.assert(
    fc.property(fc.jsonValue({ noUnicodeString: false }), (value) =>
      assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value))),
    ),
    { numRuns: 500 },
  );
});

test('keys that look like numbers or like a prototype keep their place and value', () => {
  assert.equal(
    canonicalJson(JSON.parse('{"b":1,"10":2,"9":3,"__proto__":{"x":1}}')),
    canonicalJson(JSON.parse('{"__proto__":{"x":1},"9":3,"b":1,"10":2}')),
  );
  assert.match(canonicalJson(JSON.parse('{"__proto__":{"x":1}}')), /"__proto__":\{"x":1\}/);
});

test('different contents have different hashes', () => {
  assert.notEqual(contentHash({ a: '1' }), contentHash({ a: 1 }));
  assert.notEqual(contentHash({ a: null }), contentHash({}));
  assert.notEqual(contentHash({ a: 'é' }), contentHash({ a: 'é'.normalize('NFD') }));
});

test('a hash is sha256 in hex, of bytes and of text as UTF-8', () => {
  assert.equal(sha256(''), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.equal(sha256('ä'), sha256(new TextEncoder().encode('ä')));
});
