import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DocbusError, documentKey, sha256, type DocPath, type Key } from '@docbus/core';
import { packPayload } from '@docbus/log/payload.ts';
import { silentLogger } from '@docbus/runtime';
import { openTestAgent, TOKEN } from './agent-for-tests.ts';
import { conflictsSchema, statusSchema } from './api.ts';
import { createWaitingApp } from './http.ts';

const never = new AbortController().signal;
const path = 'f/a.json' as DocPath;

type App = ReturnType<typeof openTestAgent>['app'];
type Body = { problems: string[]; done: number; error: { code: string; message: string } };

async function get(app: App, at: string) {
  const response = await app.request(at);
  return { status: response.status, body: (await response.json()) as Body };
}

/** Answers when a loop, which is stopped then, has done it. One that ends by itself is left to. */
async function post({ app, loop }: Pick<ReturnType<typeof openTestAgent>, 'app' | 'loop'>, at: string, body: unknown, token = TOKEN) {
  const stop = new AbortController();
  const running = loop.run(stop.signal).catch((error: unknown) => error);
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  const response = await app.request(at, { method: 'POST', body: JSON.stringify(body), headers });
  if (response.status !== 409) stop.abort();
  return { status: response.status, body: (await response.json()) as Body, ended: await running };
}

test('/syncz names its parameters to whoever misspells one', async (t) => {
  const { app, agent } = openTestAgent(t);
  await agent.consumeOnce(never);
  assert.equal((await get(app, '/syncz?max_lag_records=3')).status, 200);
  const { status, body } = await get(app, '/syncz?max_lag=3');
  assert.equal(status, 400);
  assert.match(body.error.message, /max_lag_records=N and max_lag_seconds=N/);
  assert.equal((await get(app, '/syncz?max_lag_seconds=-1')).status, 400);
});

test('a server that is away is one problem, however many steps and questions it fails', async (t) => {
  const away = (words: string): never => {
    throw new DocbusError('chroma_unreachable', `Chroma does not answer: ${words}`);
  };
  const { app, loop } = openTestAgent(t, (options) => ({
    ...options,
    replica: { ...options.replica, vectors: { ...options.replica.vectors, ready: async () => away('the heartbeat') } },
    log: { ...options.log, read: async () => away('the second request') },
  }));
  await loop.consume.run(never);
  const { problems } = (await get(app, '/readyz')).body;
  assert.deepEqual(problems, ['Chroma does not answer: the second request', 'The log has not been read to its end yet.']);
});

test('an edit that cannot be published is a problem, not an edit on its way', async (t) => {
  const { app, agent, storageDir } = openTestAgent(t);
  await agent.consumeOnce(never);
  writeFileSync(join(storageDir, 'documents', path), '{"half":');
  agent.hint({ all: true });
  // Its first reading may be too soon after the writing to be believed.
  while (agent.context.state.unsettled.document.size === 0) await agent.publishOnce(never);
  const { unpublished, problems } = statusSchema.parse((await get(app, '/status')).body);
  assert.deepEqual({ unpublished, problems }, { unpublished: 0, problems: [`${path}: is not replicated: it is not complete JSON`] });
});

test('conflicts are listed newest first, and dismissed for good, with their files only where asked', async (t) => {
  const opened = openTestAgent(t);
  const { app, manifest, agent } = opened;
  const list = async (at = '/conflicts') => conflictsSchema.parse((await get(app, at)).body);
  const files = [1, 2, 3].map((n) => {
    const file = agent.context.conflicts.save(documentKey(path), `${n}@b`, Buffer.from(`${n}`));
    manifest.putConflict({ id: `c${n}`, key: documentKey(path), winner: '9@a', loser: `${n}@b`, file, time: n });
    return file;
  });
  manifest.putConflict({ id: 'c4', key: documentKey(path), winner: '9@a', loser: '3@b', file: files[2]!, time: 4 });
  const { conflicts, total } = await list('/conflicts?limit=2');
  assert.deepEqual([conflicts.map(({ id }) => id), total], [['c4', 'c3'], 4]);
  assert.equal((await get(app, '/conflicts?limt=2')).status, 400);

  assert.equal((await post(opened, '/conflicts/dismiss', { ids: ['c1'] }, 'wrong-token')).status, 401);
  assert.equal((await list()).total, 4);
  assert.equal((await post(opened, '/conflicts/dismiss', { ids: ['c1', 'unheard-of'] })).body.done, 1);
  assert.equal((await post(opened, '/conflicts/dismiss', { ids: ['c2', 'c3'], files: true })).body.done, 2);
  assert.deepEqual(files.map(existsSync), [true, false, true], 'the third is still named by another conflict');
  assert.equal((await post(opened, '/conflicts/dismiss', { files: true })).body.done, 1);
  assert.deepEqual(files.map(existsSync), [true, false, false]);
  assert.deepEqual([(await list()).total, manifest.isDismissed('c1')], [0, true]);
});

test('a command takes no other keys than its own: they would be taken for "all"', async (t) => {
  const opened = openTestAgent(t);
  assert.equal((await post(opened, '/quarantine/drop', { keys: ['k'] })).status, 400);
  assert.equal((await post(opened, '/deletes/approve', { ids: ['k'] })).status, 400);
});

test('a held deletion whose copy is damaged is not reverted with the damaged bytes: the agent ends, and its next start asks the log', async (t) => {
  const opened = openTestAgent(t);
  const { manifest, agent, storageDir } = opened;
  const key: Key = documentKey(path);
  const bytes = Buffer.from('{"whole":1}');
  await agent.consumeOnce(never);
  manifest.record({
    key,
    version: { revision: 1, replica: 'a' },
    base: {},
    state: 'present',
    hash: sha256(bytes),
    content: { bytes: bytes.length },
    time: 0,
    applied: true,
    logged: true,
  });
  manifest.putPayload(key, sha256(bytes), packPayload(Buffer.from('{"other":1}')));
  manifest.putHeld({ key, reason: 'all of it', since: 0, approved: false });
  const { status, body, ended } = await post(opened, '/deletes/revert', {});
  assert.deepEqual([status, body.error.code], [409, 'manifest_corrupt']);
  assert.equal((ended as DocbusError).code, 'manifest_corrupt');
  assert.equal(existsSync(join(storageDir, 'documents', path)), false);
  assert.equal(manifest.quarantinedCount(), 0);
  manifest.putPayload(key, sha256(bytes), packPayload(bytes));
  assert.equal((await post(opened, '/deletes/revert', {})).body.done, 1);
  assert.equal(existsSync(join(storageDir, 'documents', path)), true);
});

test('held deletions that were approved wait for nobody any more', (t) => {
  const { manifest, agent } = openTestAgent(t);
  manifest.putHeld({ key: documentKey(path), reason: 'all of it', since: 0, approved: false });
  assert.equal(manifest.heldCount(), 1);
  agent.approveDeletions();
  assert.equal(manifest.heldCount(), 0);
});

test('while the storage is awaited the agent is alive and says why it is not ready', async () => {
  const app = createWaitingApp('The storage is not there.', silentLogger);
  assert.equal((await get(app, '/livez')).status, 200);
  for (const at of ['/readyz', '/syncz']) {
    const { status, body } = await get(app, at);
    assert.deepEqual([status, body.problems], [503, ['The storage is not there.']]);
  }
  const { status, body } = await get(app, '/status');
  assert.deepEqual([status, body.error.message], [503, 'The storage is not there.']);
});
