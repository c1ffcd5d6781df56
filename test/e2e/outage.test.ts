// Servers that go away and come back: Chroma in the middle of applying, Chroma and the log before an agent starts.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

type Readiness = { readonly ready: boolean; readonly problems: readonly string[] };

async function untilNotReady(replica: E2eReplica, because: RegExp): Promise<void> {
  await waitFor(
    `${replica.name} not to be ready because of ${because.source}`,
    async () => {
      const { status, body } = await replica.get('/readyz');
      return status === 503 && (body as Readiness).problems.some((problem) => because.test(problem));
    },
    { deadlineMs: 30_000 },
  );
}

async function untilReady(replica: E2eReplica): Promise<void> {
  await waitFor(`${replica.name} to be ready`, async () => (await replica.get('/readyz')).status === 200, { deadlineMs: 60_000 });
}

test('a Chroma that is killed while vectors are being applied, and comes back, misses none and holds none twice', async () => {
  await using cluster = await startCluster({ replicas: 2, controlled: true });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  await a.app.createWorkspace('Island');
  await cluster.converged({ when: ({ present }) => present.workspace === 1 });
  for (let round = 1; round <= 3; round++) {
    await b.holdAgent();
    const paths: string[] = [];
    for (let i = 0; i < 12; i++)
      paths.push(await a.app.addRawText({ title: `Page ${round}.${i}`, text: textAbout(`page ${round}.${i}`, 150) }));
    await a.app.embed('island', ...paths);
    await waitFor('the author to be done', async () => (await a.status()).present.membership === 12 * round, { deadlineMs: 30_000 });
    b.control.killAt(Infinity);
    b.control.release();
    await waitFor('a request to be on its way', () => b.control.calls().includes('vectors.add (sent)'), { deadlineMs: 30_000, everyMs: 1 });
    await b.chroma.kill('SIGKILL');
    await untilNotReady(b, /Chroma/);
    assert.equal((await b.get('/livez')).status, 200);
    assert.equal((await b.get('/syncz')).status, 503);
    await b.chroma.restart();
    await cluster.converged({ when: ({ present }) => present.membership === 12 * round });
    b.control.disarm();
  }
  await untilReady(b);
  assert.equal(b.embedder.calls.requests, 0);
});

test('a workspace deleted while Chroma is away takes its vectors along once Chroma is back', async () => {
  await using cluster = await startCluster({ replicas: 2 });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  const slug = await a.app.createWorkspace('Brief');
  const path = await a.app.addRawText({ title: 'Page', text: textAbout('a short life', 20) });
  await a.app.embed(slug, path);
  await cluster.converged({ when: ({ present }) => present.membership === 1 });
  await a.chroma.kill('SIGKILL');
  await a.app.deleteWorkspace(slug).catch(() => {}); // its last step, dropping the collection, has no server to go to
  await waitFor('the deletion to be published, without Chroma', async () => (await b.status()).present.workspace === 0, {
    deadlineMs: 30_000,
  });
  await a.chroma.restart();
  const names = async (): Promise<string> => {
    const answer = await fetch(`${a.chroma.url}/api/v2/tenants/default_tenant/databases/default_database/collections`);
    return JSON.stringify(((await answer.json()) as { name: string }[]).map(({ name }) => name));
  };
  await waitFor('the collection to be gone', async () => (await names()) === '[]', { deadlineMs: 30_000 });
});

test('an agent that starts before its Chroma lives, says what it waits for, and applies everything once it is there', async () => {
  await using cluster = await startCluster({ replicas: 2, start: false });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  await a.startAgent();
  await a.app.createWorkspace('Island');
  const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 20) });
  await a.app.embed('island', path);
  await cluster.converged({ among: [a], when: ({ present }) => present.membership === 1 });
  await b.chroma.stop();
  await b.startAgent();
  await untilNotReady(b, /Chroma/);
  assert.equal((await b.get('/livez')).status, 200);
  await b.chroma.restart();
  await cluster.converged({ when: ({ present }) => present.membership === 1 });
  await untilReady(b);
});

test('an agent that starts before its log lives, says what it waits for, and loses no edit made meanwhile', async () => {
  await using cluster = await startCluster({ replicas: 2, start: false });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  const place = join(cluster.directory, 'not-yet-mounted');
  const env = { DOCBUS_LOG: `sqlite:${join(place, 'log.db')}` };
  await Promise.all([a.startAgent(env), b.startAgent(env)]);
  await untilNotReady(a, /log/);
  assert.equal((await a.get('/livez')).status, 200);
  assert.equal((await a.status()).lagRecords, null);
  await a.app.createWorkspace('Island');
  const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 20) });
  await a.app.embed('island', path);
  mkdirSync(place);
  await cluster.converged({ when: ({ present }) => present.membership === 1 && present.document === 1 });
  await untilReady(a);
});
