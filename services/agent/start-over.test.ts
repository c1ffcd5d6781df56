import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { embeddingKey, type DocPath, type Slug } from '@docbus/core';
import {
  createMemoryStore,
  loseMemoryTail,
  openMemoryLog,
  recreateMemoryStore,
  truncateMemoryStore,
  type MemoryStore,
} from '@docbus/log/memory.ts';
import { systemClock } from '@docbus/runtime';
import { openTestAgent, theirDocument } from './agent-for-tests.ts';
import type { AgentSettings } from './context.ts';

const never = new AbortController().signal;
const path = 'f/page.json' as DocPath;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Agents that share a log, and whose clock is ours. */
function arrange(t: TestContext) {
  const store = createMemoryStore({ clock: systemClock });
  let ahead = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + ahead };
  const open = (replicaId: string, changed: Partial<AgentSettings> = {}) => {
    const opened = openTestAgent(t, (options) => ({
      ...options,
      clock,
      log: openMemoryLog(store, { replica: replicaId }),
      settings: { ...options.settings, replicaId, refillMs: 1000, ...changed },
    }));
    const { loop, agent, storageDir } = opened;
    return {
      ...opened,
      add: (name: string): void => {
        writeFileSync(join(storageDir, 'documents', 'f', `${name}.json`), JSON.stringify({ title: name, pageContent: `about ${name}` }));
        agent.hint({ all: true });
      },
      turn: async (): Promise<void> => {
        for (let more = true; more;) more = [await loop.consume.run(never), await loop.publish.run(never)].some((result) => result.more);
      },
    };
  };
  return { store, open, wait: (ms: number) => void (ahead += ms) };
}

const documentsIn = ({ records }: MemoryStore): readonly string[] =>
  records.flatMap(({ key }) => /^document\/f\/(.*)\.json$/.exec(key)?.[1] ?? []).toSorted();

test('what a log lost of its tail is put back by whoever had read it, also where others were appended in its place', async (t) => {
  const { store, open, wait } = arrange(t);
  const [a, b] = [open('a'), open('b')];
  for (const name of ['one', 'two', 'three']) {
    a.add(name);
    await a.turn();
  }
  await b.turn();
  assert.equal(loseMemoryTail(store, 1), 2);
  for (const name of ['four', 'five', 'six']) {
    // The author of what was lost is not there any more.
    b.add(name);
    await b.turn();
  }
  wait(1000);
  await b.turn();
  assert.deepEqual(documentsIn(store), ['five', 'four', 'one', 'six', 'three', 'two']);
  await a.turn();
  assert.equal(a.manifest.digest, b.manifest.digest);
});

test('what a log lost before anybody read it is put back by its author', async (t) => {
  const { store, open, wait } = arrange(t);
  const [a, b] = [open('a'), open('b')];
  a.add('before');
  await a.turn();
  await b.turn();
  a.add('one');
  await a.agent.consumeOnce(never);
  await a.agent.publishOnce(never);
  assert.equal(loseMemoryTail(store, 1), 1);
  b.add('two');
  await b.turn();
  await a.turn();
  assert.deepEqual(documentsIn(store), ['before', 'two'], 'it may still show itself');
  wait(1000);
  await a.turn();
  assert.deepEqual(documentsIn(store), ['before', 'one', 'two']);
  await b.turn();
  assert.equal(a.manifest.digest, b.manifest.digest);
});

test('a log that retention cuts is refilled, but not again and again', async (t) => {
  const { store, open, wait } = arrange(t);
  const [a, b] = [open('a'), open('b')];
  const cut = async (name: string): Promise<void> => {
    for (const one of [`${name}-1`, `${name}-2`]) {
      b.add(one);
      await b.turn();
    }
    truncateMemoryStore(store, 1);
    await a.turn();
    wait(1000);
    await a.turn();
  };
  a.add('old');
  await a.turn();
  await cut('first');
  assert.ok(documentsIn(store).includes('old'));
  await cut('second');
  assert.deepEqual(documentsIn(store), ['second-2'], 'it would only be cut off again');
  wait(DAY_MS);
  await cut('third');
  assert.ok(documentsIn(store).includes('old'));
});

test('a tail that was lost while the log is read again for another reason is noticed at its end', async (t) => {
  const { store, open, wait } = arrange(t);
  const a = open('a');
  for (const name of ['one', 'two']) {
    a.add(name);
    await a.turn();
  }
  a.agent.startOver('asked');
  assert.equal(loseMemoryTail(store, 1), 1);
  await a.turn();
  wait(1000);
  await a.turn();
  assert.deepEqual(documentsIn(store), ['one', 'two']);
  assert.equal(a.manifest.meta('former'), undefined);
});

test('so is one that is lost while the log is asked for again on the way (seed 50517)', async (t) => {
  const { store, open, wait } = arrange(t);
  const a = open('a', { readRecordsMax: 1 });
  for (const name of ['one', 'two', 'three']) {
    a.add(name);
    await a.turn();
  }
  a.agent.startOver('asked');
  await a.agent.consumeOnce(never);
  await a.agent.consumeOnce(never);
  a.agent.startOver('asked');
  assert.equal(loseMemoryTail(store, 2), 1);
  await a.turn();
  wait(1000);
  await a.turn();
  assert.deepEqual(documentsIn(store), ['one', 'three', 'two']);
});

test('what waited in quarantine while its log was made anew is put into the new one when it is applied (seed 4355)', async (t) => {
  const { store, open, wait } = arrange(t);
  const embedder = { engine: 'native', model: 'another' };
  const { turn, agent, manifest } = open('a', { embedder });
  await openMemoryLog(store, { replica: 'b' }).append(theirDocument({ slug: 'w' as Slug, path, docId: 'd1' }), never);
  await turn();
  assert.deepEqual(
    manifest.quarantined().map(({ code, logged }) => `${code} ${logged}`),
    ['embedder_mismatch true'],
  );
  recreateMemoryStore(store);
  await turn();
  wait(1000);
  await turn();
  const embeddings = (): number => store.records.filter(({ key }) => key === embeddingKey(path)).length;
  assert.equal(embeddings(), 0);
  assert.equal(await agent.retryQuarantined(undefined, never), 0, 'still refused');
  embedder.model = 'm';
  assert.equal(await agent.retryQuarantined(undefined, never), 1);
  await turn();
  wait(1000);
  await turn();
  assert.equal(embeddings(), 1);
});
