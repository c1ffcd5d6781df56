// A person deletes a document while another, on a replica that has not heard of it, imports the same page again and embeds it: from the
// cache, so that its embedding does not change. The page stays, and so must its vectors.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startCluster } from '../e2e/cluster.ts';
import type { E2eReplica } from '../e2e/replica.ts';
import { waitFor } from '../servers/process.ts';
import { mute } from './settle.ts';

const page = { folder: 'wiki', host: 'wiki.test', page: '1', title: 'Page', text: 'Otters hold hands while they sleep. '.repeat(30) };

for (const [where, isHere] of [
  ['there', false],
  ['here', true],
] as const)
  test(`a page that is deleted here, imported again ${where} and embedded there, keeps its vectors`, async (t) => {
    await using cluster = await startCluster({ replicas: 2 });
    const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
    for (const name of ['Beta', 'Gamma']) await a.app.createWorkspace(name);
    const path = await a.app.importPage(page);
    await a.app.embed('beta', path);
    await cluster.converged({ when: ({ present }) => present.membership === 1 && present.embedding === 1 });

    await b.killAgent();
    const end = await cluster.logEnd();
    await a.app.removeDocument(path);
    await waitFor('the deletion to be published', async () => (await cluster.keysAfter(end)).includes(`embedding/${path}`), {
      deadlineMs: 30_000,
    });
    if (isHere) await a.app.importPage({ ...page, text: 'Otters hold hands. ' });
    else await b.app.importPage({ ...page, title: page.title, text: `${page.text} ` });
    await b.app.embed('gamma', path);
    await b.startAgent();

    await cluster.converged({ when: ({ present }) => present.membership === 1 && present.document === 1 && present.embedding === 1 });
    for (const { app } of cluster.replicas) assert.deepEqual(mute(await app.inspect()), []);
    t.diagnostic(`embedded ${a.embedder.calls.requests + b.embedder.calls.requests} times`);
  });
