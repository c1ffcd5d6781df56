// What every driver of the vectors port promises. A driver's test is a set-up and one call.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { suite, test } from 'node:test';
import { parseSlug, type Slug } from '@docbus/core';
import type { VectorBatch, Vectors } from './port.ts';

export type VectorsUnderTest = {
  readonly vectors: Vectors;
  /** Drops a collection behind the driver's back, by the name of the server. */
  readonly dropBehind: (name: string) => Promise<void>;
  /** The metadata of one vector as AnythingLLM would read it; undefined where the vector is absent. */
  readonly metadataOf: (name: string, id: string) => Promise<Readonly<Record<string, unknown>> | undefined>;
  /** The ids nearest to a vector, nearest first, by what AnythingLLM takes for distance. */
  readonly nearest: (name: string, vector: Float32Array, count: number) => Promise<readonly string[]>;
};

/** Relative error of a vector that was stored under cosine. */
const TOLERANCE = 2e-7;

export function batchOf(
  ids: readonly string[],
  dimensions = 4,
  metadata: Record<string, unknown> = { id: 'file', title: 'T', wordCount: 3 },
): VectorBatch {
  return {
    ids,
    dimensions,
    vectors: Float32Array.from({ length: ids.length * dimensions }, (_, index) => Math.sin(index + ids.length) + 0.001),
    texts: ids.map((id) => `text of ${id}`),
    metadatas: ids.map(() => metadata),
  };
}

export function vectorsConformance(name: string, setup: () => Promise<VectorsUnderTest>): void {
  const signal = AbortSignal.timeout(300_000);
  const fresh = (): Slug => parseSlug(`w-${randomUUID()}`);

  suite(`vectors: ${name}`, () => {
    test('it is ready', async () => {
      await (await setup()).vectors.ready(signal);
    });

    test('what was added is counted, present and read back in the order asked for', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      const batch = batchOf(['b', 'a', 'c']);
      await vectors.add(slug, batch, signal);
      assert.equal(await vectors.count(slug, signal), 3);
      assert.deepEqual(await vectors.present(slug, ['a', 'x', 'c'], signal), new Set(['a', 'c']));
      const back = await vectors.fetch(slug, ['a', 'b', 'c'], signal);
      assert.ok(back !== undefined);
      assert.deepEqual(back.texts, ['text of a', 'text of b', 'text of c']);
      assert.deepEqual(back.metadatas[0], { id: 'file', title: 'T', wordCount: 3 });
      assert.equal(new Set(back.metadatas).size, 1);
      assert.equal(back.dimensions, 4);
      for (const [row, from] of [1, 0, 2].entries())
        for (let at = 0; at < 4; at++) {
          const sent = batch.vectors[from * 4 + at] as number;
          assert.ok(Math.abs((back.vectors[row * 4 + at] as number) - sent) <= Math.abs(sent) * TOLERANCE);
        }
    });

    test('adding again changes nothing, neither number nor content', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      await vectors.add(slug, batchOf(['a', 'b']), signal);
      await vectors.add(slug, { ...batchOf(['a', 'b', 'c']), texts: ['other', 'other', 'new'] }, signal);
      assert.equal(await vectors.count(slug, signal), 3);
      assert.deepEqual((await vectors.fetch(slug, ['a', 'b', 'c'], signal))?.texts, ['text of a', 'text of b', 'new']);
    });

    test('an empty batch is fine', async () => {
      const { vectors } = await setup();
      await vectors.add(fresh(), { ...batchOf([]), dimensions: 4 }, signal);
    });

    test('a batch may be larger than one request', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      const ids = Array.from({ length: 7_000 }, (_, index) => `v${index}`);
      await vectors.add(slug, batchOf(ids, 2), signal);
      assert.equal(await vectors.count(slug, signal), 7_000);
      assert.equal((await vectors.present(slug, [...ids, 'absent'], signal)).size, 7_000);
      const back = await vectors.fetch(slug, ids.toReversed().slice(0, 1200), signal);
      assert.equal(back?.texts[1199], 'text of v5800');
      await vectors.remove(slug, ids, signal);
      assert.equal(await vectors.count(slug, signal), 0);
    });

    test('removing takes what is there; absent ids and an absent collection are fine', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      await vectors.remove(slug, ['a'], signal);
      await vectors.add(slug, batchOf(['a', 'b']), signal);
      await vectors.remove(slug, ['a', 'x'], signal);
      await vectors.remove(slug, [], signal);
      assert.deepEqual(await vectors.present(slug, ['a', 'b'], signal), new Set(['b']));
      assert.equal(await vectors.fetch(slug, ['a', 'b'], signal), undefined, 'all or nothing');
    });

    test('without a collection there is nothing, and nothing creates it by looking', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      assert.equal(await vectors.count(slug, signal), 0);
      assert.deepEqual(await vectors.present(slug, ['a'], signal), new Set());
      assert.equal(await vectors.fetch(slug, ['a'], signal), undefined);
      await vectors.removeCollection(slug, signal);
      assert.equal(await vectors.count(slug, signal), 0);
    });

    test('a removed collection is gone, and comes back empty', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      await vectors.add(slug, batchOf(['a', 'b']), signal);
      await vectors.removeCollection(slug, signal);
      assert.equal(await vectors.count(slug, signal), 0);
      await vectors.add(slug, batchOf(['c'], 7), signal);
      assert.deepEqual(await vectors.present(slug, ['a', 'b', 'c'], signal), new Set(['c']));
    });

    test('a collection that others dropped and made anew is found again', async () => {
      const { vectors, dropBehind } = await setup();
      const slug = fresh();
      await vectors.add(slug, batchOf(['a']), signal);
      await dropBehind(slug);
      assert.equal(await vectors.count(slug, signal), 0);
      await vectors.add(slug, batchOf(['b']), signal);
      await dropBehind(slug);
      await vectors.add(slug, batchOf(['c']), signal);
      assert.deepEqual(await vectors.present(slug, ['a', 'b', 'c'], signal), new Set(['c']));
      await dropBehind(slug);
      await vectors.remove(slug, ['c'], signal);
      assert.equal(await vectors.fetch(slug, ['c'], signal), undefined);
    });

    test('the collection is under the name that AnythingLLM gives it, and measures by cosine', async () => {
      const { vectors, nearest } = await setup();
      const slug = parseSlug(`-${fresh()}`);
      const vectorsOf = Float32Array.of(10, 0, 0.1, 1);
      await vectors.add(slug, { ...batchOf(['far along', 'near and aside'], 2), vectors: vectorsOf }, signal);
      // By length of the difference the second would be nearer to (1, 0).
      assert.deepEqual(await nearest(`anythingllm-${slug.slice(1)}`, Float32Array.of(1, 0), 2), ['far along', 'near and aside']);
    });

    test('metadata that a server would refuse is left out, the rest arrives', async () => {
      const { vectors, metadataOf } = await setup();
      const slug = fresh();
      const metadata = {
        id: 'file',
        description: null,
        tags: ['a', 1],
        nested: { a: 1 },
        '': 1,
        '#x': 1,
        $y: 1,
        'chroma:document': 'x',
        ok: true,
        half: 1.5,
        whole: 7,
        lone: 'a\uD800b',
        title: 'Ü \u{1F600}',
      };
      await vectors.add(slug, { ...batchOf(['a'], 4, metadata), texts: ['lone \uDC00 text'] }, signal);
      assert.deepEqual(await metadataOf(slug, 'a'), { id: 'file', ok: true, half: 1.5, whole: 7, lone: 'a\uFFFDb', title: 'Ü \u{1F600}' });
      assert.deepEqual((await vectors.fetch(slug, ['a'], signal))?.texts, ['lone \uFFFD text']);
    });

    test('the text that AnythingLLM leaves in the metadata of a cached embed is not part of an embedding', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      await vectors.add(slug, batchOf(['a'], 4, { title: 'T', text: 'text of a' }), signal);
      assert.deepEqual((await vectors.fetch(slug, ['a'], signal))?.metadatas, [{ title: 'T' }]);
    });

    test('vectors of another dimension and numbers that are none are refused for good', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      await vectors.add(slug, batchOf(['a'], 4), signal);
      await assert.rejects(vectors.add(slug, batchOf(['b'], 5), signal), { code: 'vectors_refused', message: /dimension of 4, got 5/ });
      for (const bad of [NaN, Infinity])
        await assert.rejects(vectors.add(slug, { ...batchOf(['b'], 4), vectors: Float32Array.of(1, bad, 1, 1) }, signal), {
          code: 'vectors_refused',
        });
      assert.equal(await vectors.count(slug, signal), 1);
    });

    test('an aborted signal ends every method with aborted', async () => {
      const { vectors } = await setup();
      const slug = fresh();
      const aborted = AbortSignal.abort();
      for (const call of [
        () => vectors.ready(aborted),
        () => vectors.add(slug, batchOf(['a']), aborted),
        () => vectors.remove(slug, ['a'], aborted),
        () => vectors.removeCollection(slug, aborted),
        () => vectors.count(slug, aborted),
        () => vectors.present(slug, ['a'], aborted),
        () => vectors.fetch(slug, ['a'], aborted),
      ])
        await assert.rejects(call, { code: 'aborted' });
      assert.equal(await vectors.count(slug, signal), 0);
    });
  });
}
