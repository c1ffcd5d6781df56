import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextPauseMs } from './backoff.ts';

const least = { random: (count: number) => new Uint8Array(count) };
const most = { random: (count: number) => new Uint8Array(count).fill(255) };

test('pauses double from attempt to attempt', () => {
  const pauses = [1, 2, 3, 4].map((attempt) => nextPauseMs(attempt, most, { firstMs: 100, longestMs: 10_000 }));
  assert.deepEqual(pauses, [100, 200, 400, 800]);
});

test('a pause never grows beyond the longest, however many attempts failed', () => {
  for (const attempt of [10, 100, 1e9]) assert.equal(nextPauseMs(attempt, most, { firstMs: 100, longestMs: 5000 }), 5000);
});

test('chance takes at most half of a pause away', () => {
  assert.equal(nextPauseMs(3, least, { firstMs: 100, longestMs: 10_000 }), 200);
});
