import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSlug } from '@docbus/core';
import { createFakeChroma, type FakeRow } from './chroma-fake.ts';
import { batchOf, vectorsConformance } from './vectors-conformance.ts';
import { createFakeVectors } from './vectors-fake.ts';

const cosine = (a: Float32Array, b: Float32Array): number => {
  const dot = (x: Float32Array, y: Float32Array): number => x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0);
  return 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
};

vectorsConformance('in memory', async () => {
  const chroma = createFakeChroma();
  const rowsOf = (name: string): [string, FakeRow][] => [...(chroma.get(name)?.rows ?? [])];
  return {
    vectors: createFakeVectors(chroma),
    dropBehind: async (name) => void chroma.drop(name),
    metadataOf: async (name, id) => chroma.get(name)?.rows.get(id)?.metadata ?? undefined,
    nearest: async (name, vector, count) =>
      rowsOf(name)
        .toSorted(([, a], [, b]) => cosine(a.vector, vector) - cosine(b.vector, vector))
        .slice(0, count)
        .map(([id]) => id),
  };
});

test('two agents of one server see one state, and nothing works while it is down', async () => {
  const chroma = createFakeChroma();
  const slug = parseSlug('work');
  const signal = AbortSignal.timeout(10_000);
  await createFakeVectors(chroma).add(slug, batchOf(['a', 'b']), signal);
  const second = createFakeVectors(chroma);
  assert.equal(await second.count(slug, signal), 2);
  assert.deepEqual([...(chroma.collections.get('work')?.rows.keys() ?? [])], ['a', 'b']);
  chroma.up = false;
  await assert.rejects(second.ready(signal), { code: 'chroma_unreachable' });
  await assert.rejects(second.count(slug, signal), { code: 'chroma_unreachable' });
});
