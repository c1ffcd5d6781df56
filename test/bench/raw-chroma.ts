// Chroma at its fastest: prebuilt requests with base64 vectors over one kept connection, and nothing done between them.
import { request as httpRequest, Agent } from 'node:http';
import type { Embedding } from '@docbus/core';
import { addBodies, defaultRequestLimits } from '@docbus/replica/chroma-request.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';

export type Prepared = { readonly body: Buffer; readonly vectors: number };
export type Row = { readonly id: string; readonly embedding: Embedding; readonly index: number };

/** The rows of embeddings in requests of `perRequest` vectors, each ready to be sent. */
export function prepare(rows: readonly Row[], perRequest: number): readonly Prepared[] {
  const prepared: Prepared[] = [];
  for (let from = 0; from < rows.length; from += perRequest) {
    const some = rows.slice(from, from + perRequest);
    const dimensions = some[0]?.embedding.dimensions ?? 0;
    const vectors = new Float32Array(some.length * dimensions);
    some.forEach(({ embedding, index }, row) =>
      vectors.set(embedding.vectors.subarray(index * dimensions, (index + 1) * dimensions), row * dimensions),
    );
    const batch = {
      ids: some.map(({ id }) => id),
      vectors,
      dimensions,
      texts: some.map(({ embedding, index }) => embedding.texts[index] ?? ''),
      metadatas: some.map(({ embedding, index }) => embedding.metadatas[index] ?? {}),
    };
    const bodies = [...addBodies(batch, defaultRequestLimits)];
    if (bodies.length !== 1) throw new Error(`${perRequest} vectors of ${dimensions} dimensions do not fit into one request`);
    prepared.push({ body: Buffer.from(bodies[0] ?? ''), vectors: some.length });
  }
  return prepared;
}

export function rowsOf(documents: readonly { readonly docId: string; readonly embedding: Embedding }[]): readonly Row[] {
  return documents.flatMap(({ docId, embedding }) => embedding.texts.map((_, index) => ({ id: `${docId}-${index}`, embedding, index })));
}

export type RawChroma = Disposable & {
  collection(name: string): Promise<string>;
  send(collection: string, action: 'add' | 'upsert', body: Buffer): Promise<void>;
  count(collection: string): Promise<number>;
  /** distance of the nearest; Infinity where there is none */
  nearest(collection: string, query: Buffer): Promise<number>;
};

export function openRawChroma(url: string, signal: AbortSignal): RawChroma {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const call = (method: string, path: string, body?: Buffer): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
      const request = httpRequest(new URL(path, url), { method, agent, headers, signal }, (answer) => {
        const pieces: Buffer[] = [];
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.on('error', reject);
        answer.on('end', () => {
          const text = Buffer.concat(pieces).toString();
          if ((answer.statusCode ?? 500) < 300) resolve(text);
          else reject(new Error(`Chroma answers ${answer.statusCode} to ${method} ${path}: ${text.slice(0, 500)}`));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  return {
    collection: async (name) => {
      const made = await call(
        'POST',
        COLLECTIONS,
        json({ name, configuration: null, metadata: { 'hnsw:space': 'cosine' }, get_or_create: true }),
      );
      return (JSON.parse(made) as { id: string }).id;
    },
    send: async (collection, action, body) => void (await call('POST', `${COLLECTIONS}/${collection}/${action}`, body)),
    count: async (collection) => Number(await call('GET', `${COLLECTIONS}/${collection}/count`)),
    nearest: async (collection, query) => {
      const answer = await call('POST', `${COLLECTIONS}/${collection}/query`, query).catch((error: Error) => {
        // How the server says that the collection's first write is not over.
        if (error.message.includes('Nothing found on disk')) return '{"distances":[]}';
        throw error;
      });
      return (JSON.parse(answer) as { distances: number[][] }).distances[0]?.[0] ?? Infinity;
    },
    [Symbol.dispose]: () => agent.destroy(),
  };
}

export function nearestQuery(vector: Float32Array): Buffer {
  return Buffer.from(JSON.stringify({ query_embeddings: [[...vector]], n_results: 1, include: ['distances'] }));
}

/** A server's first write takes seconds that the later ones do not. */
export async function warmUp(url: string, signal: AbortSignal): Promise<void> {
  using raw = openRawChroma(url, signal);
  const id = await raw.collection('warm-up');
  const embeddings = Array.from({ length: 20 }, (_, i) => [i + 1, 1, 1]);
  const ids = embeddings.map((_, i) => `warm-${i}`);
  const body = Buffer.from(JSON.stringify({ ids, embeddings, documents: ids, metadatas: ids.map((name) => ({ name })) }));
  await raw.send(id, 'add', body);
  await raw.nearest(id, nearestQuery(Float32Array.of(1, 1, 1)));
}
