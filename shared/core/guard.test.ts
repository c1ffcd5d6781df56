import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultGuardLimits, guard, type GuardLook } from './guard.ts';

const look = (more: Partial<GuardLook>): GuardLook => ({
  kind: 'document',
  deletions: 0,
  recorded: 100,
  reset: false,
  placeMissing: false,
  ...more,
});
const isHeld = (more: Partial<GuardLook>, limits = defaultGuardLimits): boolean => guard(look(more), limits).hold;

test('without deletions nothing is held, whatever is missing', () =>
  assert.equal(isHeld({ placeMissing: true, reset: true, kind: 'membership' }), false));

test('a few deletions pass even where they are everything', () => {
  assert.equal(isHeld({ deletions: 10, recorded: 10 }), false);
  assert.equal(isHeld({ deletions: 1, recorded: 1 }), false);
});

test('many deletions pass where they are a small share', () => {
  assert.equal(isHeld({ deletions: 200, recorded: 1000 }), false);
});

test('many deletions that are a large share are held', () => {
  assert.equal(isHeld({ deletions: 11, recorded: 54 }), true);
  assert.equal(isHeld({ deletions: 201, recorded: 1000 }), true);
  assert.equal(isHeld({ deletions: 11, recorded: 11 }), true);
});

test('the limits are those that are given', () => {
  assert.equal(isHeld({ deletions: 3, recorded: 100 }, { count: 2, share: 0 }), true);
  assert.equal(isHeld({ deletions: 2, recorded: 100 }, { count: 2, share: 0 }), false);
  assert.equal(isHeld({ deletions: 100, recorded: 100 }, { count: 0, share: 1 }), false);
});

test('a single deletion is held where its whole place is missing', () => assert.equal(isHeld({ deletions: 1, placeMissing: true }), true));

test('after a reset of the vector store every removal from a workspace is held, and nothing else', () => {
  assert.equal(isHeld({ kind: 'membership', deletions: 1, reset: true }), true);
  for (const kind of ['document', 'embedding', 'workspace'] as const) assert.equal(isHeld({ kind, deletions: 1, reset: true }), false);
});

test('the reason tells a person how many of what', () => {
  const verdict = guard(look({ kind: 'workspace', deletions: 30, recorded: 40 }), defaultGuardLimits);
  assert.ok(verdict.hold);
  assert.equal(verdict.reason, '30 of 40 (workspace) vanished at once, more than 10 and 20 %');
});
