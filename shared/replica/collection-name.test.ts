import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Slug } from '@docbus/core';
import { collectionName } from './collection-name.ts';

const of = (slug: string): string => collectionName(slug as Slug);

test('a slug that Chroma takes is its own name', () => {
  for (const slug of ['abc', 'my-workspace', 'A_1', 'a'.repeat(63), '127-0-0-1']) assert.equal(of(slug), slug);
});

test('other characters become dashes, by UTF-16 code unit', () => {
  assert.equal(of('foo.bar'), 'foo-bar');
  assert.equal(of('a b/c'), 'a-b-c');
  assert.equal(of('xé1'), 'x-1');
  assert.equal(of('x\u{1F600}1'), 'x--1');
  assert.equal(of('1.2.3.4'), '1-2-3-4');
});

test('a bad first character gives way to the prefix, one bad last character is dropped', () => {
  assert.equal(of('-abc'), 'anythingllm-abc');
  assert.equal(of('_abc_'), 'anythingllm-abc');
  assert.equal(of('x---'), 'x--');
  assert.equal(of('-'), 'anythingllm');
  assert.equal(of('日本'), 'anythingllm-');
});

test('short names get the prefix, so that two slugs may share a collection', () => {
  assert.equal(of('a'), 'anythingllm-a');
  assert.equal(of('anythingllm-a'), 'anythingllm-a');
  assert.equal(of('ab'), 'anythingllm-ab');
  assert.equal(of('ab-'), 'anythingllm-ab');
});

test('long names are cut at 63 and looked at again', () => {
  assert.equal(of('a'.repeat(64)), 'a'.repeat(63));
  assert.equal(of(`${'a'.repeat(62)}-b`), 'a'.repeat(62));
  assert.equal(of(`${'a'.repeat(61)}--b`), `${'a'.repeat(61)}-`);
  assert.equal(of(`-${'b'.repeat(70)}`), `anythingllm-${'b'.repeat(51)}`);
});
