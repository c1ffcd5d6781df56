// Rows of memberships that come, go and come back while others change what they hold.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { documentKey, embeddingKey, membershipKey, type DocPath, type Slug } from '@docbus/core';
import type { LogRecord } from '@docbus/log/port.ts';
import { openTestAgent, plainWorkspace, recordsOfTheirs, theirDocument, theirEmbedding } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const docId = '11111111-1111-4111-8111-111111111111';

/** An agent that has taken over a document of another replica, and AnythingLLM's own connection. */
async function arrange(t: TestContext) {
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => ({ ...options, settings: { ...options.settings, settleMs: 0 } }));
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
  await turn();
  await arrive(theirDocument({ slug, path, docId }));
  await agent.consumeOnce(never);
  await agent.consumeOnce(never);
  assert.deepEqual(copies(), [docId]);
  return { agent, manifest, app, turn, arrive, copies, texts };
}

const RESET = `delete from document_vectors; delete from workspace_documents; insert into event_logs (event) values ('workspace_vectors_reset')`;

test('a reset is held also where all that it took is what the agent itself has written since its last look (seed 3228)', async (t) => {
  const { app, turn, manifest } = await arrange(t);
  app.exec(RESET);
  await turn();
  await turn();
  assert.deepEqual(
    manifest.held().map(({ key }) => key),
    [membershipKey(slug, path)],
  );
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present');
});

test('rows that were missed and came back get the embedding that came in the meantime (seed 1452)', async (t) => {
  const { agent, app, turn, arrive, manifest, texts } = await arrange(t);
  await turn();
  app.exec('create table kept as select * from workspace_documents; create table ids as select * from document_vectors');
  app.exec(RESET);
  await turn();
  assert.equal(manifest.held().length, 1);
  app.exec('insert into workspace_documents select * from kept; insert into document_vectors select * from ids');
  await arrive(theirEmbedding(path, 'about it, cut anew', 2));
  await agent.consumeOnce(never);
  await turn();
  assert.deepEqual(await texts(), ['about it, cut anew']);
  assert.deepEqual(manifest.held(), []);
});

test('a membership that outlived its document has no row before the document that was made anew is embedded (seed 1994)', async (t) => {
  const { turn, arrive, copies, texts, manifest } = await arrange(t);
  await turn();
  for (const key of [documentKey(path), embeddingKey(path)]) await arrive(recordsOfTheirs(key, null, { revision: 2 }));
  await turn();
  assert.deepEqual(copies(), []);
  const payload = Buffer.from('{"pageContent":"another page"}');
  await arrive(recordsOfTheirs(documentKey(path), { bytes: payload.length }, { revision: 3, payload }));
  await turn();
  assert.deepEqual(copies(), [], 'AnythingLLM would show it as embedded');
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present');
  await arrive(theirEmbedding(path, 'another page', 3));
  await turn();
  assert.deepEqual(copies(), [docId]);
  assert.deepEqual(await texts(), ['another page']);
});
