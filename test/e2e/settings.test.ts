// The agent's process as its operator meets it: wrong settings, health, metrics, and how it stops.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

suite('the process of an agent', () => {
  let cluster: Cluster;
  let a: E2eReplica;

  before(async () => {
    cluster = await startCluster({ replicas: 1, start: false });
    [a] = cluster.replicas as [E2eReplica];
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('wrong settings end it with exit code 2 and one message that names each variable, its problem and an example', async () => {
    const { code, text } = await a.runAgent({
      DOCBUS_LOG: undefined,
      DOCBUS_REPLICA: 'no spaces please',
      DOCBUS_SETTLE_MS: 'soon',
      DOCBUS_DELETE_GUARD: '10',
      DOCBUS_HTTP: 'everywhere',
      DOCBUS_TOKEN: 'short',
      CHROMA_ENDPOINT: 'localhost',
      DOCBUS_STORAGE: '/srv/storage',
    });
    assert.equal(code, 2);
    for (const name of ['LOG', 'REPLICA', 'SETTLE_MS', 'DELETE_GUARD', 'HTTP', 'TOKEN', 'STORAGE'])
      assert.match(text, new RegExp(`DOCBUS_${name}\\b`), `DOCBUS_${name} is not named:\n${text}`);
    assert.match(text, /CHROMA_ENDPOINT/);
    assert.match(text, /sqlite:\/var\/lib\/docbus\/log\.db/, 'an example');
    assert.doesNotMatch(text, /\n\s+at /, 'no stack trace');
    assert.doesNotMatch(text, /short/, 'a secret is not repeated');
  });

  test('a port that is taken ends it with exit code 2 and the name of the variable', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
    );
    try {
      const { code, text } = await a.runAgent({ DOCBUS_HTTP: `127.0.0.1:${port}` });
      assert.equal(code, 2);
      assert.match(text, /DOCBUS_HTTP/);
      const copied = await a.runAgent({ DOCBUS_HTTP: `127.0.0.1:${port}`, DOCBUS_REPLICA: 'replica-of-another-file' });
      assert.match(copied.text, /DOCBUS_HTTP/, 'what never ran has claimed no name');
    } finally {
      server.close();
    }
  });

  test('a log whose scheme nobody knows ends it with exit code 2, not with an endless wait', async () => {
    const { code, text } = await a.runAgent({ DOCBUS_LOG: 'carrier-pigeon://loft' });
    assert.equal(code, 2, text);
    assert.match(text, /DOCBUS_LOG/);
  });

  test('it is live, ready and in sync, and its metrics and its status say the same', async () => {
    await a.startAgent();
    await a.app.createWorkspace('Island');
    const path = await a.app.addRawText({ title: 'Page', text: textAbout('a page', 30) });
    await a.app.embed('island', path);
    await cluster.converged({ when: ({ present }) => present.membership === 1 });

    assert.deepEqual((await a.get('/livez')).body, { live: true });
    assert.deepEqual((await a.get('/readyz')).body, { ready: true, problems: [] });
    for (const query of ['', '?max_lag_records=0', '?max_lag_seconds=1']) assert.equal((await a.get(`/syncz${query}`)).status, 200, query);
    assert.equal((await a.get('/syncz?max_lag_records=few')).status, 400);

    const status = await a.status();
    assert.deepEqual(
      [status.replica, status.phase, status.ready, status.lagRecords, status.lagSeconds, status.held, status.quarantined],
      ['replica-1', 'following', true, 0, 0, 0, 0],
    );
    assert.deepEqual(status.present, { document: 1, embedding: 1, workspace: 1, membership: 1 });
    assert.match(status.digest, /^[0-9a-f]{64}$/);

    const metrics = (await a.get('/metrics')).text;
    for (const line of [
      'docbus_up{replica="replica-1"} 1',
      'docbus_lag_records{replica="replica-1"} 0',
      'docbus_held_deletions{replica="replica-1"} 0',
      'docbus_entries{kind="document",replica="replica-1"} 1',
      `docbus_chunks{replica="replica-1"} ${status.chunks}`,
    ])
      assert.ok(metrics.includes(`${line}\n`), `${line} is not in\n${metrics}`);
    assert.ok(!metrics.includes(path), 'no document names as labels');
    assert.equal((await a.get('/nothing')).status, 404);
  });

  test('what changes state is refused without the token, and where no token is set', async () => {
    assert.equal((await a.get('/deletes/approve', { method: 'POST', body: '{}' })).status, 401);
    assert.equal((await a.post('/quarantine/retry', {}, 'wrong-token')).status, 401);
    assert.equal((await a.post('/quarantine/retry')).status, 200);
    assert.equal((await a.post('/quarantine/retry', { ids: ['x'.repeat(33 << 20)] })).status, 413);
    await a.stopAgent();
    await a.startAgent({ DOCBUS_TOKEN: undefined });
    const { status, text } = await a.post('/deletes/approve');
    assert.equal(status, 403);
    assert.match(text, /DOCBUS_TOKEN/);
  });

  test('SIGTERM ends it with exit code 0 while it is at work, and nothing is missing after the next start', async () => {
    const paths: string[] = [];
    for (let i = 0; i < 20; i++) paths.push(await a.app.addRawText({ title: `Page ${i}`, text: textAbout(`page ${i}`, 30) }));
    await waitFor('it to be at work', async () => (await a.status()).present.document > 1, { deadlineMs: 20_000, everyMs: 2 });
    await a.app.embed('island', ...paths);
    await a.stopAgent();
    await a.startAgent();
    await cluster.converged({ when: ({ present }) => present.document === 21 && present.membership === 21 });
  });
});
