// Whose storage, whose state, whose name: two agents with one replica id, two on one state directory, and a storage that is swapped.
import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { createStorage } from '../stand-in/index.ts';
import { startCluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

test('two agents with one replica id find each other and stop before an edit is lost; under names of their own they agree', async () => {
  await using cluster = await startCluster({ replicas: 2, start: false });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  await Promise.all([a.startAgent(), b.startAgent({ DOCBUS_REPLICA: 'replica-1' })]);
  await waitFor('both to follow', async () => (await Promise.all([a.status(), b.status()])).every(({ phase }) => phase === 'following'), {
    deadlineMs: 20_000,
  });
  await a.app.addRawText({ title: 'From the one', text: textAbout('the one', 10) });
  await b.app.addRawText({ title: 'From the other', text: textAbout('the other', 10) });
  await waitFor('one of them to stop', () => a.agent.hasEnded() || b.agent.hasEnded(), { deadlineMs: 30_000 });
  // The other one finds out as well, unless it is asked to stop before.
  const ends = await Promise.all([a, b].map(async ({ agent }) => ({ ...(await agent.stop()), text: agent.tail() })));
  const stopped = ends.filter(({ code }) => code === 1);
  assert.ok(stopped.length > 0);
  for (const { text } of stopped) assert.match(text, /Another agent publishes under the replica id replica-1.*DOCBUS_REPLICA/);
  for (const { code } of ends) assert.ok(code === 0 || code === 1);

  const refused = await b.runAgent({ DOCBUS_REPLICA: 'replica-2' });
  assert.equal(refused.code, 2);
  assert.match(refused.text, /belongs to the replica replica-1.*DOCBUS_STATE_DIR/s);
  rmSync(b.stateDir, { recursive: true });
  rmSync(join(b.storageDir, '.docbus'));
  await Promise.all([a.startAgent(), b.startAgent({ DOCBUS_REPLICA: 'replica-2' })]);
  await cluster.converged({ when: ({ present }) => present.document === 2 });
});

test('a second agent on one state directory is refused in one sentence, and the first goes on', async () => {
  await using cluster = await startCluster({ replicas: 1 });
  const [a] = cluster.replicas as [E2eReplica];
  const second = await a.runAgent({ DOCBUS_HTTP: '127.0.0.1:0' });
  assert.equal(second.code, 1);
  assert.match(second.text, /Another .*agent uses the state directory/);
  assert.doesNotMatch(second.text, /\n\s+at /, 'no stack trace');
  await a.app.addRawText({ title: 'Page', text: textAbout('a page', 10) });
  await cluster.converged({ when: ({ present }) => present.document === 1 });
});

test('a state directory that is removed under a running agent ends it, and the next start reads the log again', async () => {
  await using cluster = await startCluster({ replicas: 2 });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  await a.app.addRawText({ title: 'Page', text: textAbout('a page', 10) });
  await cluster.converged({ when: ({ present }) => present.document === 1 });
  rmSync(b.stateDir, { recursive: true });
  assert.equal((await b.agent.ended).code, 1);
  assert.match(b.agent.tail(), /state directory .* was removed/);
  await a.app.addRawText({ title: 'Later', text: textAbout('a later page', 10) });
  await b.startAgent();
  await cluster.converged({ when: ({ present }) => present.document === 2 });
});

test('a damaged copy in the manifest stops nothing for good: the manifest is set aside and read from the log again', async () => {
  await using cluster = await startCluster({ replicas: 2 });
  const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
  await a.app.createWorkspace('Island');
  const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 20) });
  await a.app.embed('island', path);
  await cluster.converged({ when: ({ present }) => present.membership === 1 });
  await b.stopAgent();
  {
    using manifest = new DatabaseSync(join(b.stateDir, 'manifest.db'));
    manifest.exec("update payloads set packed = zeroblob(length(packed)) where key like 'embedding/%'");
  }
  await b.startAgent();
  // Its vectors are asked from the copy, because no cache travels with a membership.
  await a.app.createWorkspace('Second');
  await a.app.embed('second', path);
  assert.equal((await b.agent.ended).code, 1);
  assert.match(b.agent.tail(), /manifest .* is damaged; start the agent again/);
  await b.startAgent();
  await cluster.converged({ when: ({ present }) => present.membership === 2 });
  assert.match(b.agent.tail(), /it is set aside/);
});

for (const [what, swap] of [
  ['swapped for an empty one', (storageDir: string) => createStorage(storageDir)],
  ['taken away', () => {}],
] as const)
  test(`a storage that is ${what} under a running agent deletes nothing anywhere, and is recognised when it is back`, async () => {
    await using cluster = await startCluster({ replicas: 2 });
    const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
    await a.app.createWorkspace('Island');
    const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 20) });
    await a.app.embed('island', path);
    await cluster.converged({ when: ({ present }) => present.membership === 1 });
    const end = await cluster.logEnd();

    a.closeApp();
    renameSync(a.storageDir, `${a.storageDir}.away`);
    swap(a.storageDir);
    await waitFor(
      'the agent to notice',
      async () => {
        const { status, body } = await a.get('/readyz');
        return status === 503 && /storage/i.test(JSON.stringify(body));
      },
      { deadlineMs: 20_000 },
    );
    assert.equal((await a.status()).phase, 'waiting');
    // It must not become ready, nor speak, over some more looks at the wrong storage.
    const later = await b.app.addRawText({ title: 'Later', text: textAbout('a later page', 10) });
    await waitFor('a new document in the log', async () => (await cluster.keysAfter(end)).includes(`document/${later}`), {
      deadlineMs: 20_000,
    });
    await waitFor('the agent to see that it lags', async () => ((await a.status()).lagRecords ?? 0) > 0, { deadlineMs: 20_000 });
    assert.deepEqual(await cluster.keysAfter(end), [`document/${later}`]);
    assert.equal((await a.get('/readyz')).status, 503);

    rmSync(a.storageDir, { recursive: true, force: true });
    renameSync(`${a.storageDir}.away`, a.storageDir);
    await cluster.converged({ when: ({ present }) => present.document === 2 && present.membership === 1 });
  });
