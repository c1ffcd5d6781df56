// First contact and starting over: replicas that had documents before docbus came, a replica that was destroyed, a state that was lost.
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { quarantineSchema } from '@docbus/agent/api.ts';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const wiki = { folder: 'wiki', host: 'wiki.example.org', page: 'rules.1', title: 'Rules' };

suite('bootstrap', () => {
  let cluster: Cluster;
  let a: E2eReplica;
  let b: E2eReplica;
  let c: E2eReplica;

  before(async () => {
    cluster = await startCluster({ controlled: true, start: false });
    [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('replicas that had documents before agree on the union; equal ones are adopted, of different ones the loser is kept', async () => {
    const texts = [
      textAbout('the rules of replica 1', 12),
      textAbout('the rules of replica 2', 20),
      textAbout('the rules of replica 3', 9),
    ];
    const rules: string[] = [];
    for (const [i, { app }] of cluster.replicas.entries()) {
      await app.createWorkspace('Commons', { topN: 3 + i });
      const path = await app.importPage({ ...wiki, text: texts[i]! });
      await app.embed('commons', path);
      rules.push(path);
      const page = await app.addRawText({ title: `Own page ${i}`, text: textAbout(`page of replica ${i}`, 12) });
      await app.embed('commons', page);
    }
    // The same file on two replicas, byte for byte.
    const shared = await a.app.addRawText({ title: 'Shared', text: textAbout('what all share', 10) });
    writeFileSync(join(b.storageDir, 'documents', shared), readFileSync(join(a.storageDir, 'documents', shared)));
    const own = new Map<string, Buffer>();
    for (const { name, app } of cluster.replicas) own.set(name, (await app.inspect()).documents.get(rules[0]!)!);

    await cluster.startAgents();
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.workspace === 1 && present.membership === 4 });

    const winner = (await a.app.inspect()).documents.get(rules[0]!)!;
    const kept = cluster.replicas.flatMap(({ stateDir }) =>
      globSync(join(stateDir, 'conflicts', '**', '*.json')).map((file) => readFileSync(file)),
    );
    for (const [name, bytes] of own)
      assert.ok(bytes.equals(winner) || kept.some((loser) => loser.equals(bytes)), `what ${name} had is nowhere any more`);
    assert.equal([...own.values()].filter((bytes) => bytes.equals(winner)).length, 1, 'one of the three has won');
    const conflicts = (await Promise.all(cluster.replicas.map((replica) => replica.status()))).map((status) => status.conflicts);
    assert.ok(conflicts.reduce((sum, count) => sum + count, 0) >= 2, `the conflicts are listed: ${conflicts.join(', ')}`);
    assert.ok(!kept.some((loser) => loser.includes('what all share')), 'equal documents are no conflict');
  });

  test('a replica that was destroyed is rebuilt from the log with no call to an embedder', async () => {
    const end = await cluster.logEnd();
    const calls = b.embedder.calls.requests;
    await b.killAgent();
    await b.destroy();
    await b.startAgent();
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.membership === 4 });
    assert.equal(b.embedder.calls.requests, calls);
    assert.equal((await b.app.inspect()).documents.size, 5);
    assert.equal((await b.app.inspect()).memberships.size, 4);
    assert.deepEqual(await cluster.keysAfter(end), [], 'a replica that is rebuilt has nothing to say');
    assert.equal((await b.status()).conflicts, 0);
  });

  test('a lost state directory costs a bootstrap, no document, no conflict and no record', async () => {
    const end = await cluster.logEnd();
    const { conflicts } = await c.status();
    assert.ok(conflicts >= 0);
    await c.stopAgent();
    rmSync(c.stateDir, { recursive: true });
    await c.startAgent();
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.membership === 4 });
    assert.equal((await c.status()).conflicts, 0);
    assert.deepEqual(await cluster.keysAfter(end), []);
  });

  test('a corrupt manifest is set aside and named, and the agent bootstraps', async () => {
    const end = await cluster.logEnd();
    await c.killAgent();
    for (const suffix of ['-wal', '-shm']) rmSync(join(c.stateDir, `manifest.db${suffix}`), { force: true });
    writeFileSync(join(c.stateDir, 'manifest.db'), 'this was a database once '.repeat(500));
    await c.startAgent();
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.membership === 4 });
    const [aside] = globSync(join(c.stateDir, 'manifest.db.corrupt-*'));
    assert.ok(aside !== undefined && existsSync(aside));
    assert.ok(c.agent.text().includes(aside), 'the logger names the file');
    assert.deepEqual(await cluster.keysAfter(end), []);
  });

  test('vectors of another embedder are quarantined, the document arrives all the same, and a retry after mending applies them', async () => {
    await b.stopAgent();
    await b.startAgent({ EMBEDDING_MODEL_PREF: 'words-2' });
    const path = await a.app.addRawText({ title: 'Foreign', text: textAbout('foreign vectors', 12) });
    await a.app.embed('commons', path);
    await cluster.converged({ among: [a, c], when: ({ present }) => present.document === 6 && present.membership === 5 });
    await waitFor('the quarantine', async () => (await b.status()).quarantined > 0, { deadlineMs: 20_000 });
    const { quarantine } = quarantineSchema.parse((await b.get('/quarantine')).body);
    assert.deepEqual(
      quarantine.map(({ key, code }) => ({ key, code })),
      [{ key: `embedding/${path}`, code: 'embedder_mismatch' }],
    );
    assert.match(quarantine[0]?.message ?? '', /words-1.*words-2.*EMBEDDING_MODEL_PREF/s);
    await waitFor('the file', async () => (await b.app.inspect()).documents.has(path), { deadlineMs: 20_000 });
    const mixed = await b.app.inspect();
    assert.ok(!mixed.memberships.has(`commons/${path}`), 'a row without vectors would only seem to be embedded');

    await b.stopAgent();
    await b.startAgent({ EMBEDDING_MODEL_PREF: b.embedder.model });
    assert.deepEqual((await b.post('/quarantine/retry')).body, { done: 1 });
    await cluster.converged({ when: ({ present, quarantined }) => present.membership === 5 && quarantined === 0 });
  });
});

test('an embedding that comes long before its document, as in a compacted log, is cached when the document comes', async () => {
  await using author = await startCluster({ replicas: 1 });
  await using reader = await startCluster({ replicas: 1, env: { DOCBUS_REPLICA: 'reader' } });
  const [a, b] = [author.replicas[0]!, reader.replicas[0]!];
  await a.app.createWorkspace('Island');
  const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 30) });
  await a.app.embed('island', path);
  await author.converged({ when: ({ present }) => present.membership === 1 });
  const records = await author.recordsAfter(undefined);
  const isDocument = ({ key }: { key: string }): boolean => key.startsWith('document/');
  await reader.append(...records.filter((record) => !isDocument(record)));
  await reader.converged({ when: ({ present }) => present.embedding === 1 && present.membership === 1 });
  assert.ok(!(await b.app.inspect()).caches.has(path), 'a cache without its document would be an orphan');
  await reader.append(...records.filter(isDocument));
  await reader.converged({ when: ({ present }) => present.document === 1 });
  await b.app.createWorkspace('Harbour');
  assert.deepEqual((await b.app.embed('harbour', path)).embedded, [path]);
  assert.equal(b.embedder.calls.requests, 0);
});
