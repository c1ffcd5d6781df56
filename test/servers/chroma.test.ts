import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startChroma, type ChromaServer } from './chroma.ts';
import { environment } from './find.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-chroma-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
// Servers that somebody else runs can be neither killed nor restarted: the two cases about that do not apply to them.
const ours = environment('DOCBUS_TEST_CHROMA_URL') === undefined;

async function post(server: ChromaServer, path: string, body: unknown): Promise<unknown> {
  const answer = await fetch(`${server.url}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(answer.ok, true, await answer.clone().text());
  return await answer.json();
}

async function addOne(server: ChromaServer): Promise<string> {
  const { id } = (await post(server, COLLECTIONS, { name: 'kept', get_or_create: true })) as { id: string };
  await post(server, `${COLLECTIONS}/${id}/add`, { ids: ['a'], embeddings: [[1, 0]], documents: ['text'], metadatas: [{ k: 'v' }] });
  return id;
}

async function count(server: ChromaServer, id: string): Promise<unknown> {
  return await (await fetch(`${server.url}${COLLECTIONS}/${id}/count`)).json();
}

test('a server starts, takes vectors, and keeps them over SIGKILL and restart', { skip: !ours }, async () => {
  await using server = await startChroma({ directory: join(directory, 'kept') });
  const { url } = server;
  const id = await addOne(server);
  await server.kill('SIGKILL');
  await assert.rejects(fetch(`${url}/api/v2/heartbeat`), /fetch failed/);
  await server.restart();
  assert.equal(server.url, url);
  assert.equal(await count(server, id), 1);
});

test('a stopped server is gone, and stopping it again is fine', async () => {
  const server = await startChroma({ directory: join(directory, 'stopped') });
  await server.stop();
  await server.stop();
  if (ours) await assert.rejects(fetch(`${server.url}/api/v2/heartbeat`), /fetch failed/);
});

test('a second server on one directory is refused, until the first is stopped', { skip: !ours }, async () => {
  const place = join(directory, 'locked');
  const first = await startChroma({ directory: place });
  await assert.rejects(startChroma({ directory: place }), /already runs on/);
  await first.stop();
  await using second = await startChroma({ directory: place });
  assert.notEqual(second.pid, first.pid);
});

test('a port in use is an error, and nothing is left locked', { skip: !ours }, async () => {
  await using first = await startChroma({ directory: join(directory, 'first') });
  const port = Number(new URL(first.url).port);
  await assert.rejects(startChroma({ directory: join(directory, 'second'), port }), /ended before it was ready/);
  await using second = await startChroma({ directory: join(directory, 'second') });
  assert.notEqual(second.url, first.url);
});
