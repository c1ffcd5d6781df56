import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDocbusError, type Embedding, type Slug } from '@docbus/core';
import type { VectorBatch, Vectors } from '@docbus/replica/port.ts';
import { createVectorQueue } from './vector-queue.ts';

const signal = new AbortController().signal;
const embedding: Embedding = { dimensions: 1, texts: ['a'], metadatas: [{}], vectors: Float32Array.of(1) };
const slug = 'w' as Slug;

/** A server that answers when it is told to, and a queue before it. */
function arrange(requestsMax: number) {
  const asked: { readonly ids: readonly string[]; readonly answer: PromiseWithResolvers<void> }[] = [];
  const rows: string[] = [];
  const vectors = {
    add: (_: Slug, { ids }: VectorBatch) => {
      for (const id of ids) assert.ok(rows.includes(id), `the row of ${id} is there before its vector is sent`);
      const answer = Promise.withResolvers<void>();
      asked.push({ ids, answer });
      return answer.promise;
    },
  } as unknown as Vectors;
  const records = { addVectorIds: (some: readonly { readonly vectorId: string }[]) => rows.push(...some.map(({ vectorId }) => vectorId)) };
  const queue = createVectorQueue({ vectors, records, vectorsPerRequest: 1, requestsMax, signal });
  const work = (id: string) => ({ key: id, slug, docId: id, ids: [id], embedding });
  return { queue, asked, work, names: () => asked.map(({ ids }) => ids.join()) };
}

const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('one request more than the server has is ready when it answers, and no more', async () => {
  const { queue, asked, work, names } = arrange(2);
  const group = queue.group();
  await group.add(work('1'));
  await group.add(work('2'));
  await group.add(work('3'));
  let isTaken = false;
  const fourth = group.add(work('4')).then(() => void (isTaken = true));
  await settle();
  assert.deepEqual(names(), ['1', '2']);
  assert.equal(isTaken, false, 'whoever makes the next ready waits');
  asked[1]?.answer.resolve();
  await settle();
  assert.deepEqual(names(), ['1', '2', '3']);
  assert.equal(isTaken, true);
  for (let i = 0; i < 4; i++) {
    asked[i]?.answer.resolve();
    await settle();
  }
  await fourth;
  assert.equal((await group.done()).size, 0);
  assert.deepEqual(names(), ['1', '2', '3', '4']);
});

test('what was not sent when the step ends is not sent', async () => {
  const { queue, asked, work, names } = arrange(1);
  const group = queue.group();
  await group.add(work('1'));
  await group.add(work('2'));
  const ended = queue[Symbol.asyncDispose]();
  asked[0]?.answer.reject(new Error('away'));
  await ended;
  assert.deepEqual(names(), ['1']);
  await assert.rejects(group.done(), (error) => isDocbusError(error, 'aborted') || (error as Error).message === 'away');
});
