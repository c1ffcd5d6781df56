// What AnythingLLM filled by itself is compared with what was published, later and without holding up anybody.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DocbusError, documentKey, type DocPath, type Slug } from '@docbus/core';
import type { Vectors } from '@docbus/replica/port.ts';
import { embeddingOf, openTestAgent, plainWorkspace } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const docId = '11111111-1111-4111-8111-111111111111';
const SETTLED_MS = 60_000;

/** A page that AnythingLLM has embedded: its collection and its cache may say different things. */
async function arrange(t: TestContext, { filled, cached }: { readonly filled: string; readonly cached: string }) {
  let shift = 0;
  let isAway = false;
  const asked: string[] = [];
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => {
    const { vectors } = options.replica;
    const ask: Pick<Vectors, 'fetch'> = {
      fetch: (...args) => {
        asked.push(...args[1]);
        if (isAway) throw new DocbusError('chroma_unreachable', 'planted');
        return vectors.fetch(...args);
      },
    };
    return {
      ...options,
      clock: { ...options.clock, now: () => options.clock.now() + shift },
      replica: { ...options.replica, vectors: { ...vectors, ...ask } },
    };
  });
  const { records, vectors, caches } = agent.context.replica;
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  await turn();
  const write = (name: string): void => {
    writeFileSync(join(storageDir, 'documents', name), JSON.stringify({ title: 'Page', pageContent: cached }));
    agent.hint({ all: true });
  };
  records.putWorkspace(slug, plainWorkspace);
  write(path);
  mkdirSync(join(storageDir, 'vector-cache'), { recursive: true });
  const ids = ['22222222-2222-4222-8222-222222222222'];
  caches.write(path, embeddingOf(cached), ids);
  await vectors.add(slug, { ...embeddingOf(filled), ids }, never);
  records.addVectorIds(ids.map((vectorId) => ({ docId, vectorId })));
  records.setMemberships([{ slug, path, copies: [{ docId, pinned: false }], expected: [], metadata: '{}' }]);
  const texts = async (): Promise<readonly string[] | undefined> =>
    (await vectors.fetch(slug, records.vectorIds([docId]).get(docId) ?? [], never))?.texts;
  const settle = async (): Promise<void> => {
    shift += SETTLED_MS;
    await turn();
  };
  return { agent, manifest, asked, turn, settle, texts, write, setAway: (away: boolean) => (isAway = away) };
}

test('vectors that AnythingLLM made from what is published stay, and are looked at once, after publishing', async (t) => {
  const { manifest, asked, turn, settle } = await arrange(t, { filled: 'now', cached: 'now' });
  await turn();
  assert.equal(manifest.outbox().length, 0);
  assert.equal(manifest.fill(docId)?.hash !== undefined, true, 'published and recorded');
  assert.deepEqual(asked, [], 'nobody who waits for an edit waits for Chroma');
  await settle();
  assert.equal(asked.length, 1);
  await settle();
  assert.equal(asked.length, 1, 'once is enough');
  assert.notEqual(manifest.fill(docId), undefined);
  assert.deepEqual(manifest.intents(), []);
});

test('vectors that AnythingLLM made from an earlier cache are replaced', async (t) => {
  const { turn, settle, texts } = await arrange(t, { filled: 'earlier', cached: 'now' });
  await turn();
  assert.deepEqual(await texts(), ['earlier']);
  // looked at, asked to be filled anew (AnythingLLM may be at work on it), filled anew
  for (let i = 0; i < 3; i++) await settle();
  assert.deepEqual(await texts(), ['now']);
});

test('while Chroma is away nothing else waits for the look, which is made when it is back', async (t) => {
  const { manifest, turn, settle, texts, setAway, write, asked } = await arrange(t, { filled: 'earlier', cached: 'now' });
  await turn();
  setAway(true);
  await settle();
  assert.equal(asked.length, 1, 'asked in vain');
  await turn();
  assert.equal(asked.length, 1, 'and left alone for a while');
  write('f/other.json');
  await turn();
  assert.equal(manifest.entry(documentKey('f/other.json' as DocPath))?.logged, true);
  setAway(false);
  for (let i = 0; i < 12; i++) await settle();
  assert.deepEqual(await texts(), ['now']);
});

test('what changed since it was noted is not decided by an old note', async (t) => {
  const { manifest, turn, settle, asked } = await arrange(t, { filled: 'now', cached: 'now' });
  await turn();
  manifest.dropFill(docId);
  await settle();
  assert.deepEqual(asked, []);
  assert.deepEqual(manifest.unsampledFills(10), []);
});
