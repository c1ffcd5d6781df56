// What looks like a lost volume or a reset is held by the guard, shown, and decided by a person over HTTP. Until then no other replica
// loses anything.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { deletesSchema } from '@docbus/agent/api.ts';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const DOCUMENTS = 14;

suite('deletions that look like an accident', () => {
  let cluster: Cluster;
  let a: E2eReplica;
  let b: E2eReplica;
  const paths: string[] = [];

  const held = async (count: number): Promise<void> =>
    waitFor(`${count} deletions to be held`, async () => (await a.status()).held === count, { deadlineMs: 20_000 });
  const full = { when: ({ present }: { present: { membership: number; document: number } }) => present.membership === DOCUMENTS };

  before(async () => {
    cluster = await startCluster({ replicas: 2, controlled: true });
    [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
    await a.app.createWorkspace('Island');
    for (let i = 0; i < DOCUMENTS; i++) paths.push(await a.app.addRawText({ title: `Page ${i}`, text: textAbout(`page ${i}`, 6) }));
    await a.app.embed('island', ...paths);
    await cluster.converged(full);
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('a reset of the whole vector store is held, and reverting it puts every row and vector back without embedding', async () => {
    const end = await cluster.logEnd();
    const calls = a.embedder.calls.requests;
    await a.app.resetAllVectorStores();
    await held(DOCUMENTS);
    const { deletes } = deletesSchema.parse((await a.get('/deletes')).body);
    assert.ok(deletes.every(({ key, reason, approved }) => key.startsWith('membership/island/') && /reset/.test(reason) && !approved));
    assert.deepEqual(await cluster.keysAfter(end), [], 'nothing was published');
    assert.equal((await b.app.inspect()).memberships.size, DOCUMENTS);

    assert.equal((await a.post('/deletes/revert', {}, 'another-token')).status, 401);
    assert.equal((await a.get('/deletes/revert', { method: 'POST', body: '{}' })).status, 401);
    assert.equal((await a.status()).held, DOCUMENTS, 'a wrong token changes nothing');

    assert.deepEqual((await a.post('/deletes/revert')).body, { done: DOCUMENTS });
    await cluster.converged(full);
    assert.equal((await a.status()).held, 0);
    assert.equal(a.embedder.calls.requests, calls);
    assert.equal((await a.app.inspect()).memberships.size, DOCUMENTS);
  });

  test('documents that vanish with their whole directory are held, and reverting writes them again', async () => {
    const end = await cluster.logEnd();
    rmSync(join(a.storageDir, 'documents'), { recursive: true });
    // Their rows are still there, and while they are the documents are not deleted.
    const sweeps = a.control.sweeps();
    await waitFor('two sweeps', () => a.control.sweeps() >= sweeps + 2, { deadlineMs: 20_000 });
    assert.deepEqual(await cluster.keysAfter(end), []);
    await a.app.resetAllVectorStores();
    await waitFor('documents and memberships to be held', async () => (await a.status()).held === 2 * DOCUMENTS, { deadlineMs: 20_000 });
    assert.deepEqual(await cluster.keysAfter(end), []);
    assert.deepEqual((await a.post('/deletes/revert')).body, { done: 2 * DOCUMENTS });
    await cluster.converged({ when: ({ present }) => present.document === DOCUMENTS && present.membership === DOCUMENTS });
    assert.equal((await a.app.inspect()).documents.size, DOCUMENTS);
  });

  suite('a folder that is emptied and stays, with a document in no workspace among the others', () => {
    let emptied: string;
    let elsewhere: string;
    let end: Awaited<ReturnType<Cluster['logEnd']>>;
    const empty = async (): Promise<void> => {
      emptied = join(a.storageDir, 'documents', 'custom-documents');
      elsewhere = join(cluster.directory, 'elsewhere');
      end = await cluster.logEnd();
      move(emptied, elsewhere);
      await held(DOCUMENTS + 1);
    };
    const all = { when: ({ present }: { present: { document: number } }) => present.document === DOCUMENTS + 1 };
    const documents = async (): Promise<ReadonlyMap<string, Uint8Array>> => (await b.app.inspect()).documents;

    before(async () => {
      await a.app.addRawText({ title: 'In no workspace', text: textAbout('no workspace', 6) });
      await cluster.converged(all);
    });
    after(async () => {
      for (const path of (await documents()).keys()) if (!paths.includes(path)) await a.app.removeDocument(path);
      await cluster.converged(full);
    });

    test('nothing is deleted, not by an approval either while rows are there, and a revert brings every file back', async () => {
      const whole = await documents();
      await empty();
      const { deletes } = deletesSchema.parse((await a.get('/deletes')).body);
      assert.ok(deletes.every(({ reason }) => /15 of 15 \(document\) vanished at once/.test(reason)));
      assert.equal(deletes.filter(({ reason }) => /embedded in the workspace island/.test(reason)).length, DOCUMENTS);
      const status = await a.status();
      assert.equal(status.unpublished, status.held, 'it waits for a person and for nothing else');
      assert.equal(status.problems.filter((problem) => /still embedded in the workspace island/.test(problem)).length, DOCUMENTS);
      const oneEmbedded = [`document/${paths[0]}`];
      assert.deepEqual((await a.post('/deletes/approve', { keys: oneEmbedded })).body, { done: 0 });
      const sweeps = a.control.sweeps();
      await waitFor('two sweeps', () => a.control.sweeps() >= sweeps + 2, { deadlineMs: 20_000 });
      assert.deepEqual(await cluster.keysAfter(end), []);
      assert.deepEqual(await documents(), whole, 'the other replica keeps all');

      assert.deepEqual((await a.post('/deletes/revert')).body, { done: DOCUMENTS + 1 });
      await cluster.converged(all);
      assert.deepEqual((await a.app.inspect()).documents, whole);
      assert.deepEqual(await cluster.keysAfter(end), []);
      const { held: waiting, problems } = await a.status();
      assert.deepEqual([waiting, problems], [0, []]);
      rmSync(elsewhere, { recursive: true });
    });

    test('files that come back by themselves are held no longer', async () => {
      await empty();
      move(elsewhere, emptied);
      await held(0);
      await cluster.converged(all);
      assert.deepEqual(await cluster.keysAfter(end), []);
      assert.deepEqual((await a.status()).problems, []);
    });

    test('rows that go as well release nothing', async () => {
      await empty();
      await a.app.resetAllVectorStores();
      await held(2 * DOCUMENTS + 1);
      const sweeps = a.control.sweeps();
      await waitFor('two sweeps', () => a.control.sweeps() >= sweeps + 2, { deadlineMs: 20_000 });
      assert.deepEqual(await cluster.keysAfter(end), []);
      assert.deepEqual((await a.post('/deletes/revert')).body, { done: 2 * DOCUMENTS + 1 });
      await cluster.converged(full);
      await cluster.converged(all);
      rmSync(elsewhere, { recursive: true });
    });

    test('one file that went is written back for whoever names it', async () => {
      end = await cluster.logEnd();
      rmSync(join(a.storageDir, 'documents', paths[0]!));
      const named = async (): Promise<boolean> =>
        (await a.status()).problems.some((problem) => problem.startsWith(`${paths[0]}: the file is gone`));
      await waitFor('the problem to be shown', named, { deadlineMs: 20_000 });
      assert.deepEqual((await a.post('/deletes/revert', { keys: [`document/${paths[0]}`] })).body, { done: 1 });
      await cluster.converged(all);
      assert.deepEqual(await cluster.keysAfter(end), []);
      assert.deepEqual((await a.status()).problems, []);
    });
  });

  test('deletions that somebody does one by one are no accident', async () => {
    for (const path of paths.slice(0, 2)) await b.app.unembed('island', path);
    await cluster.converged({ when: ({ present }) => present.membership === DOCUMENTS - 2 });
    assert.deepEqual((await cluster.replicas[1]!.status()).held, 0);
  });

  test('a reset that is approved takes the documents out of the workspaces everywhere, and leaves their files', async () => {
    await a.app.resetAllVectorStores();
    await held(DOCUMENTS - 2);
    assert.equal((await b.app.inspect()).memberships.size, DOCUMENTS - 2);
    assert.deepEqual((await a.post('/deletes/approve')).body, { done: DOCUMENTS - 2 });
    await cluster.converged({ when: ({ present, held: waiting }) => present.membership === 0 && waiting === 0 });
    const { documents, vectorIds } = await b.app.inspect();
    assert.deepEqual([documents.size, vectorIds.size], [DOCUMENTS, 0]);
  });
});

/** The files alone: the folder that they leave stays. */
function move(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) renameSync(join(from, name), join(to, name));
}
