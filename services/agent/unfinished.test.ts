// Steps that end half way, while people, resets and other replicas go on.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import {
  DocbusError,
  documentKey,
  embeddingKey,
  isDocbusError,
  membershipKey,
  type DocPath,
  type ErrorCode,
  type Slug,
} from '@docbus/core';
import type { LogRecord } from '@docbus/log/port.ts';
import { embeddingOf, openTestAgent, plainWorkspace, recordsOfTheirs, theirDocument, theirEmbedding } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const docId = '11111111-1111-4111-8111-111111111111';

/** An agent that can be made to fail in the middle of a step, and AnythingLLM's own connection. */
function arrange(t: TestContext, settleMs = 0) {
  const trouble = { disk: false, remove: false, refuse: false };
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => {
    const { caches, vectors } = options.replica;
    return {
      ...options,
      settings: { ...options.settings, settleMs },
      replica: {
        ...options.replica,
        caches: {
          ...caches,
          synced: async () => {
            await caches.synced();
            if (trouble.disk) throw new DocbusError('disk_failed', 'planted');
          },
        },
        vectors: {
          ...vectors,
          add: async (s, batch, signal) => {
            if (trouble.refuse) throw new DocbusError('vectors_refused', 'planted');
            await vectors.add(s, batch, signal);
          },
          remove: async (s, ids, signal) => {
            if (trouble.remove && ids.length > 0) throw new DocbusError('chroma_unreachable', 'planted');
            await vectors.remove(s, ids, signal);
          },
        },
      },
    };
  });
  const { records, vectors } = agent.context.replica;
  const app = new DatabaseSync(join(storageDir, 'anythingllm.db'));
  t.after(() => app.close());
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  const arrive = async (arriving: readonly LogRecord[]): Promise<void> => await agent.context.log.append(arriving, never);
  const copies = (): readonly string[] => records.membershipsIn(slug).flatMap((row) => row.copies.map((copy) => copy.docId));
  const texts = async (): Promise<readonly string[] | undefined> =>
    (await vectors.fetch(slug, records.vectorIds([docId]).get(docId) ?? [], never))?.texts;
  records.putWorkspace(slug, plainWorkspace);
  const fails = async (code: ErrorCode): Promise<void> =>
    await assert.rejects(agent.consumeOnce(never), (error) => isDocbusError(error, code));
  return { agent, manifest, app, turn, arrive, copies, texts, trouble, records, vectors, fails };
}
const RESET = `delete from document_vectors; delete from workspace_documents; insert into event_logs (event) values ('workspace_vectors_reset')`;

test('rows that the agent itself took away in an unfinished step are nobody’s removal', async (t) => {
  const { turn, arrive, trouble, fails, copies, manifest } = arrange(t);
  await turn();
  trouble.disk = true;
  await arrive(theirDocument({ slug, path, docId }));
  await fails('disk_failed');
  assert.deepEqual(copies(), [docId]);
  // the document goes with its embedding and is made anew; the membership outlives both
  for (const key of [documentKey(path), embeddingKey(path)]) await arrive(recordsOfTheirs(key, null, { revision: 2 }));
  const payload = Buffer.from('{"pageContent":"another page"}');
  await arrive(recordsOfTheirs(documentKey(path), { bytes: payload.length }, { revision: 3, payload }));
  await fails('disk_failed');
  assert.deepEqual(copies(), []);
  trouble.disk = false;
  await turn();
  await turn();
  await turn();
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present', 'nobody removed it');
});

test('rows that went and come again with their document, in an unfinished step, are nobody’s removal', async (t) => {
  const { turn, arrive, trouble, fails, copies, manifest } = arrange(t);
  await turn();
  trouble.disk = true;
  await arrive(theirDocument({ slug, path, docId }));
  await fails('disk_failed');
  assert.deepEqual(copies(), [docId]);
  for (const key of [documentKey(path), embeddingKey(path)]) await arrive(recordsOfTheirs(key, null, { revision: 2 }));
  await fails('disk_failed');
  assert.deepEqual(copies(), []);
  const payload = Buffer.from('{"pageContent":"another page"}');
  await arrive(recordsOfTheirs(documentKey(path), { bytes: payload.length }, { revision: 3, payload }));
  await arrive(theirEmbedding(path, 'another page', 3));
  trouble.disk = false;
  await turn();
  await turn();
  await turn();
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present', 'nobody removed it');
});

test('a reset that takes rows which are not recorded yet is still a reset', async (t) => {
  const { agent, turn, arrive, trouble, fails, copies, manifest, app } = arrange(t);
  await turn();
  trouble.disk = true;
  await arrive(theirDocument({ slug, path, docId }));
  await fails('disk_failed');
  assert.deepEqual(copies(), [docId]);
  app.exec(RESET);
  await agent.publishOnce(never);
  trouble.disk = false;
  await turn();
  await turn();
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present', 'published as a deletion');
});

test('what was sent beside earlier vectors is remembered until its step has ended', async (t) => {
  const settleMs = 100;
  const settled = async (): Promise<void> => await setTimeout(settleMs + 20);
  const { agent, arrive, copies, manifest, app, trouble, records, vectors, fails, turn } = arrange(t, settleMs);
  await turn();
  await settled();
  await turn();
  await arrive(theirDocument({ slug, path, docId }));
  await turn();
  await settled();
  await turn();
  assert.deepEqual(copies(), [docId]);
  // AnythingLLM begins to remove the document: it has read the ids.
  const read = records.vectorIds([docId]).get(docId)!;
  trouble.remove = true;
  await arrive(theirEmbedding(path, 'about it, cut anew', 2));
  await fails('chroma_unreachable');
  trouble.remove = false;
  assert.equal(await vectors.count(slug, never), 2);
  await settled();
  // a look in between
  await agent.publishOnce(never);
  // AnythingLLM goes on
  await vectors.remove(slug, read, never);
  app.exec(`delete from document_vectors where docId = '${docId}'; delete from workspace_documents where docId = '${docId}'`);
  for (let i = 0; i < 6; i++) {
    await agent.publishOnce(never);
    await settled();
  }
  await turn();
  await settled();
  await turn();
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'deleted');
  assert.equal(await vectors.count(slug, never), 0, 'ghosts');
});

test('an embedding that the server refuses for good waits in quarantine, is not published again, and takes nothing away', async (t) => {
  const { agent, turn, arrive, texts, trouble, manifest } = arrange(t);
  await turn();
  await arrive(theirDocument({ slug, path, docId }));
  await turn();
  trouble.refuse = true;
  await arrive(theirEmbedding(path, 'about it, cut anew', 2));
  await agent.consumeOnce(never);
  for (let i = 0; i < 4; i++) await turn();
  assert.equal(manifest.entry(embeddingKey(path))?.version.replica, 'b', 'nobody edited it here');
  assert.deepEqual(await texts(), ['about it']);
});

test('a fill whose step never comes again is replaced by what is recorded', async (t) => {
  const settleMs = 5;
  const { agent, turn, arrive, texts, trouble, manifest } = arrange(t, settleMs);
  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      await turn();
      await setTimeout(settleMs * 2);
    }
  };
  await turns(2);
  await arrive(theirDocument({ slug, path, docId }));
  await turns(4);
  const embedder = agent.context.settings.embedder as { model: string };
  embedder.model = 'other';
  await arrive(theirEmbedding(path, 'about it, cut anew', 2));
  await turn();
  embedder.model = 'm';
  assert.equal(manifest.quarantinedCount(), 1);
  trouble.disk = true;
  await assert.rejects(agent.retryQuarantined(undefined, never));
  trouble.disk = false;
  for (let i = 0; i < 200 && manifest.freshFills(9).length > 0; i++) await turns(1);
  assert.deepEqual(manifest.freshFills(9), []);
  assert.deepEqual(await texts(), ['about it'], 'the entry is that of the first embedding');
});

test('our vectors do not outlive rows that a slow re-sync of AnythingLLM replaces by its own (seed 40117)', async (t) => {
  const settleMs = 20;
  const { agent, turn, arrive, app, texts, vectors } = arrange(t, settleMs);
  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      await turn();
      await setTimeout(settleMs + 10);
    }
  };
  await turns(2);
  await arrive(theirDocument({ slug, path, docId }));
  await turns(3);
  assert.equal(await vectors.count(slug, never), 1);
  // It had read the ids before ours were there; their rows go with all others of the document, and its own come.
  const theirs = '99999999-9999-4999-8999-999999999999';
  const embedding = embeddingOf('about it, read again');
  await vectors.add(slug, { ids: [theirs], ...embedding }, never);
  agent.context.replica.caches.write(path, embedding, [theirs]);
  app.exec(
    `delete from document_vectors where docId = '${docId}'; insert into document_vectors (docId, vectorId) values ('${docId}', '${theirs}')`,
  );
  agent.hint({ all: true });
  await turns(8);
  assert.deepEqual(await texts(), ['about it, read again']);
  assert.equal(await vectors.count(slug, never), 1, 'ghosts');
});
