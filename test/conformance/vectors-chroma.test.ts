// The vectors port against a real Chroma server, and what only a real one can show.
import { parseSlug } from '@docbus/core';
import { batchOf, vectorsConformance } from '@docbus/replica/vectors-conformance.ts';
import { createChromaVectors } from '@docbus/replica/vectors-chroma.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startChroma, type ChromaServer } from '../servers/chroma.ts';

const signal = AbortSignal.timeout(300_000);
const place = mkdtempSync(join(tmpdir(), 'docbus-chroma-'));
let started: Promise<ChromaServer> | undefined;
const server = (): Promise<ChromaServer> => (started ??= startChroma({ directory: join(place, 'data') }));
after(async () => {
  await (await started)?.stop();
  rmSync(place, { recursive: true, force: true });
});

/** As a bare client of the server's API sees it, without any of our code. */
async function call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const url = `${(await server()).url}/api/v2/tenants/default_tenant/databases/default_database/collections${path}`;
  const answer = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return (await answer.json()) as Record<string, unknown>;
}
const idOf = async (name: string): Promise<string> => String((await call('GET', `/${name}`))['id']);

vectorsConformance('Chroma', async () => ({
  vectors: createChromaVectors({ url: (await server()).url }),
  dropBehind: async (name) => void (await call('DELETE', `/${name}`)),
  metadataOf: async (name, id) => {
    const { metadatas } = await call('POST', `/${await idOf(name)}/get`, { ids: [id], include: ['metadatas'] });
    return (metadatas as Record<string, unknown>[])[0];
  },
  nearest: async (name, vector, count) => {
    const { ids } = await call('POST', `/${await idOf(name)}/query`, { query_embeddings: [[...vector]], n_results: count });
    return (ids as string[][])[0] ?? [];
  },
}));

test('the collection is the one that AnythingLLM would have created', async () => {
  const ours = parseSlug('created-by-docbus');
  await createChromaVectors({ url: (await server()).url }).add(ours, batchOf(['a']), signal);
  await call('POST', '', { name: 'created-by-app', configuration: null, metadata: { 'hnsw:space': 'cosine' }, get_or_create: true });
  const [docbus, app] = await Promise.all([call('GET', `/${ours}`), call('GET', '/created-by-app')]);
  for (const field of ['metadata', 'configuration_json']) assert.deepEqual(docbus[field], app[field]);
});

test('a request is split below the limits of its body, and every row arrives', async () => {
  const vectors = createChromaVectors({ url: (await server()).url, limits: { bodyBytesMax: 20_000, rowsMax: 1_000 } });
  const slug = parseSlug('split');
  const ids = Array.from({ length: 300 }, (_, index) => `v${index}`);
  await vectors.add(slug, { ...batchOf(ids, 16), texts: ids.map((id) => `${id} ${'ü'.repeat(100)}`) }, signal);
  assert.equal(await vectors.count(slug, signal), 300);
});

test('a server that is down is unreachable, and back when it is back', async () => {
  const chroma = await server();
  const vectors = createChromaVectors({ url: chroma.url });
  const slug = parseSlug('restarted');
  await vectors.add(slug, batchOf(['a']), signal);
  await chroma.stop();
  await assert.rejects(vectors.ready(signal), { code: 'chroma_unreachable', message: /CHROMA_ENDPOINT/ });
  await assert.rejects(vectors.add(slug, batchOf(['b']), signal), { code: 'chroma_unreachable' });
  await assert.rejects(vectors.count(slug, signal), { code: 'chroma_unreachable' });
  await chroma.restart();
  await vectors.add(slug, batchOf(['b']), signal);
  assert.deepEqual(await vectors.present(slug, ['a', 'b'], signal), new Set(['a', 'b']));
});

/** A server that answers everything alike, as proxies and misconfigured gates do. */
async function answering(status: number, body: string, seen?: (headers: Record<string, unknown>) => void): Promise<[string, Server]> {
  const http = createServer((request, response) => {
    seen?.(request.headers);
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return [`http://127.0.0.1:${(http.address() as AddressInfo).port}`, http];
}

for (const [status, code] of [
  [401, 'chroma_refused'],
  [403, 'chroma_refused'],
  [413, 'vectors_refused'],
  [422, 'vectors_refused'],
  [500, 'chroma_refused'],
  [502, 'chroma_refused'],
] as const)
  test(`an answer ${status} to an addition is ${code}`, async (t) => {
    const [creating, http] = await answering(status, '<html>no</html>');
    t.after(() => http.close());
    // The addition itself, past the look-up of the collection.
    let asked = 0;
    const gate = createServer((request, response) => {
      asked++;
      if (request.url?.endsWith('/add')) response.writeHead(status).end('<html>no</html>');
      else
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ id: 'c', name: 'n', configuration_json: {} }));
    });
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
    t.after(() => gate.close());
    const url = `http://127.0.0.1:${(gate.address() as AddressInfo).port}`;
    await assert.rejects(createChromaVectors({ url }).add(parseSlug('abc'), batchOf(['a']), signal), { code });
    assert.equal(asked, 2);
    if (code === 'chroma_refused') await assert.rejects(createChromaVectors({ url: creating }).count(parseSlug('abc'), signal), { code });
  });

test('the headers go with every request', async (t) => {
  const seen: unknown[] = [];
  const [url, http] = await answering(200, '{"nanosecond heartbeat": 1, "id": "c", "name": "n", "configuration_json": {}}', (headers) =>
    seen.push(headers['x-api-key']),
  );
  t.after(() => http.close());
  const vectors = createChromaVectors({ url, headers: { 'X-Api-Key': 'secret' } });
  await vectors.ready(signal);
  await vectors.add(parseSlug('abc'), batchOf(['a']), signal);
  assert.deepEqual(seen, ['secret', 'secret', 'secret']);
});

test('a server that never answers is unreachable after the time allowed', async (t) => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.closeAllConnections());
  t.after(() => silent.close());
  const vectors = createChromaVectors({ url: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`, requestMs: 50 });
  await assert.rejects(vectors.ready(signal), { code: 'chroma_unreachable', message: /50 ms/ });
  await assert.rejects(vectors.add(parseSlug('abc'), batchOf(['a']), signal), { code: 'chroma_unreachable' });
});

test('an address that docbus cannot use is said so at once', () => {
  for (const url of ['localhost:8000', 'http://host:8000/prefix', 'ftp://host'])
    assert.throws(() => createChromaVectors({ url }), { code: 'config_invalid', message: /CHROMA_ENDPOINT/ });
});
