// Rows of memberships that come, go and come back while others change what they hold.
import assert from 'node:assert/strict';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { contentHash, DocbusError, documentKey, embeddingKey, membershipKey, workspaceKey, type DocPath, type Slug } from '@docbus/core';
import { decodeRecord } from '@docbus/log';
import type { LogRecord } from '@docbus/log/port.ts';
import { createTestDatabase } from '@docbus/replica/database-for-tests.ts';
import type { Vectors } from '@docbus/replica/port.ts';
import { embeddingOf, openTestAgent, plainWorkspace, recordsOfTheirs, theirDocument, theirEmbedding } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const docId = '11111111-1111-4111-8111-111111111111';

/** An agent that has taken over a document of another replica, and AnythingLLM's own connection. */
async function arrange(t: TestContext) {
  const chroma = { away: false };
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => {
    const { vectors } = options.replica;
    const add: Vectors['add'] = async (...args) => {
      if (chroma.away) throw new DocbusError('chroma_unreachable', 'Chroma is away.');
      await vectors.add(...args);
    };
    return { ...options, replica: { ...options.replica, vectors: { ...vectors, add } }, settings: { ...options.settings, settleMs: 0 } };
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
  await turn();
  await arrive(theirDocument({ slug, path, docId }));
  await agent.consumeOnce(never);
  await agent.consumeOnce(never);
  assert.deepEqual(copies(), [docId]);
  return { agent, manifest, app, turn, arrive, copies, texts, storageDir, chroma };
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

test('an embedding that is published while the database is another one is filled in once the right one is back (seed 4570)', async (t) => {
  const { agent, app, turn, texts, storageDir, manifest } = await arrange(t);
  app.exec("insert into event_logs (event) values ('something_happened')");
  await turn();
  const database = join(storageDir, 'anythingllm.db');
  renameSync(database, `${database}.away`);
  createTestDatabase(database)[Symbol.dispose]();
  const { caches } = agent.context.replica;
  caches.write(path, embeddingOf('about it, cut anew'), ['v1']);
  agent.hint({ all: true });
  await agent.publishOnce(never);
  assert.equal(manifest.entry(embeddingKey(path))?.version.replica, 'a');
  rmSync(database);
  renameSync(`${database}.away`, database);
  agent.hint({ all: true });
  await turn();
  assert.deepEqual(await texts(), ['about it, cut anew']);
});

test('rows of a database that is not the right one are nobody’s edits', async (t) => {
  const { agent, app, storageDir, manifest } = await arrange(t);
  app.exec("insert into event_logs (event) values ('something_happened')");
  while ((await agent.publishOnce(never)).more);
  const database = join(storageDir, 'anythingllm.db');
  renameSync(database, `${database}.away`);
  const other = createTestDatabase(database);
  agent.context.replica.records.putWorkspace('elsewhere' as Slug, plainWorkspace);
  agent.context.replica.records.putWorkspace(slug, { ...plainWorkspace, name: 'As it was a year ago' });
  agent.hint({ all: true });
  while ((await agent.publishOnce(never)).more);
  assert.equal(manifest.entry(workspaceKey('elsewhere' as Slug)), undefined);
  assert.equal(manifest.entry(workspaceKey(slug))?.hash, contentHash(plainWorkspace));
  other[Symbol.dispose]();
});

test('what people embed while a document from elsewhere is only half here is published, not given up (seed 4424)', async (t) => {
  const { agent, turn, arrive, chroma, storageDir } = await arrange(t);
  const { records, caches } = agent.context.replica;
  const [second, own] = ['f/second.json' as DocPath, '22222222-2222-4222-8222-222222222222'];
  await turn();
  chroma.away = true;
  await arrive(theirDocument({ slug, path: second, docId: '33333333-3333-4333-8333-333333333333' }).slice(1));
  await assert.rejects(agent.consumeOnce(never), { code: 'chroma_unreachable' });
  assert.ok(existsSync(join(storageDir, 'documents', second)));
  caches.write(second, embeddingOf('as this replica cuts it'), ['v2']);
  records.setMemberships([{ slug, path: second, copies: [{ docId: own, pinned: false }], expected: [], metadata: null }]);
  chroma.away = false;
  agent.hint({ all: true });
  await turn();
  const key = membershipKey(slug, second);
  const published = (await agent.context.log.read(undefined, { recordsMax: 100, bytesMax: 1 << 20 }, never)).map(decodeRecord);
  const authors = published.flatMap((record) =>
    record.type === 'change' && record.change.key === key ? [record.change.version.replica] : [],
  );
  assert.deepEqual(authors.toSorted(), ['a', 'b']);
});

test('a reset that could not remove the ids of its vectors is reverted whole (seed 7423)', async (t) => {
  const { agent, app, turn, manifest, texts } = await arrange(t);
  await turn();
  await agent.context.replica.vectors.removeCollection(slug, never);
  app.exec(RESET.replace('delete from document_vectors;', ''));
  await turn();
  assert.equal(manifest.held().length, 1);
  await agent.revertDeletions(undefined, never);
  await turn();
  assert.deepEqual(await texts(), ['about it']);
});

test('rows that were missed and come back after others have embedded anew get the newer embedding', async (t) => {
  const { turn, arrive, manifest, app, texts } = await arrange(t);
  await turn();
  app.exec('create table kept as select * from workspace_documents; create table ids as select * from document_vectors');
  app.exec(RESET);
  await turn();
  assert.equal(manifest.held().length, 1);
  await arrive(theirEmbedding(path, 'about it, cut anew', 2));
  await turn();
  app.exec('insert into workspace_documents select * from kept; insert into document_vectors select * from ids');
  await turn();
  await turn();
  assert.deepEqual(await texts(), ['about it, cut anew']);
});
