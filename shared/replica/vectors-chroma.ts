// The workspaces' vectors in a real Chroma (server 1.x, API v2). The official client manages collections, reads and deletes;
// additions, which a rebuild is bound by, are sent by hand (see chroma-request.ts).
import { ChromaClient, type Collection } from 'chromadb';
import { DocbusError, isDocbusError, type Slug } from '@docbus/core';
import { chromaError, statusError, unreachable } from './chroma-errors.ts';
import { addBodies, defaultRequestLimits, type RequestLimits } from './chroma-request.ts';
import { collectionName } from './collection-name.ts';
import { embeddingOf, type FetchedRow } from './fetched.ts';
import type { Vectors } from './port.ts';

/** Ids per request: above 32,766 the server fails with "too many SQL variables". */
const IDS_MAX = 5_000;
/** Vectors come back as JSON, some 20 bytes a number. */
const FETCH_ROWS = 500;

export type ChromaVectorsOptions = {
  /** CHROMA_ENDPOINT: scheme, host and port, without a path */
  readonly url: string;
  /** authentication, ready to send */
  readonly headers?: Readonly<Record<string, string>>;
  readonly tenant?: string;
  readonly database?: string;
  /** A request without an answer after this long counts as unreachable. Dropping a collection of 100,000 vectors takes half a minute. */
  readonly requestMs?: number;
  readonly limits?: RequestLimits;
};

export function createChromaVectors(options: ChromaVectorsOptions): Vectors {
  const {
    url,
    headers = {},
    tenant = 'default_tenant',
    database = 'default_database',
    requestMs = 120_000,
    limits = defaultRequestLimits,
  } = options;
  const address = parseUrl(url);
  /** Ids of collections by name, until the server says that one is gone. */
  const known = new Map<string, string>();

  /** One conversation with the server. A client of its own, because a signal belongs to a client; making one takes microseconds. */
  async function ask<T>(signal: AbortSignal, body: (client: ChromaClient, within: AbortSignal) => Promise<T>): Promise<T> {
    const within = AbortSignal.any([signal, AbortSignal.timeout(requestMs)]);
    const fetchOptions = { signal: within };
    try {
      signal.throwIfAborted();
      return await body(new ChromaClient({ ...address, tenant, database, headers: { ...headers }, fetchOptions }), within);
    } catch (error) {
      if (signal.aborted) throw new DocbusError('aborted', 'The request to Chroma was given up because the agent stops.', { cause: error });
      if (within.aborted) throw unreachable(url, `no answer within ${requestMs} ms`, error);
      throw chromaError(error, url);
    }
  }

  /** Runs `body` on the workspace's collection; undefined where there is none. A collection that was made anew is looked up again once. */
  async function onCollection<T>(slug: Slug, signal: AbortSignal, body: (collection: Collection) => Promise<T>): Promise<T | undefined> {
    const name = collectionName(slug);
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask(signal, async (client) => {
          const id = known.get(name) ?? (await client.getCollection({ name })).id;
          known.set(name, id);
          return await body(client.collection(id));
        });
      } catch (error) {
        if (!isDocbusError(error, 'chroma_not_found')) throw error;
        // Not known: the name itself was not found.
        if (!known.delete(name) || attempt === 2) return undefined;
      }
    }
  }

  /** The id of the workspace's collection, created as AnythingLLM creates it: cosine, which nothing can change later. */
  async function ensureCollection(name: string, signal: AbortSignal): Promise<string> {
    const id =
      known.get(name) ??
      (await ask(signal, async (client) => {
        const collection = await client.getOrCreateCollection({ name, metadata: { 'hnsw:space': 'cosine' }, embeddingFunction: null });
        return collection.id;
      }));
    known.set(name, id);
    return id;
  }

  async function send(body: string, name: string, signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const id = await ensureCollection(name, signal);
      const path = `/api/v2/tenants/${encodeURIComponent(tenant)}/databases/${encodeURIComponent(database)}/collections/${id}/add`;
      try {
        await ask(signal, async (_client, within) => {
          const answer = await fetch(new URL(path, url), {
            method: 'POST',
            headers: { ...headers, 'content-type': 'application/json' },
            body,
            signal: within,
          });
          // The body is read in every case: an unread one keeps the connection from being used again.
          const text = await answer.text();
          if (!answer.ok) throw statusError(answer.status, text, url);
        });
        return;
      } catch (error) {
        if (!isDocbusError(error, 'chroma_not_found') || attempt === 2) throw error;
        known.delete(name);
      }
    }
  }

  return {
    ready: (signal) => ask(signal, async (client) => void (await client.heartbeat())),

    add: async (slug, batch, signal) => {
      const name = collectionName(slug);
      for (const body of addBodies(batch, limits)) await send(body, name, signal);
    },

    remove: async (slug, ids, signal) => {
      for (const some of slices(ids, IDS_MAX)) await onCollection(slug, signal, (collection) => collection.delete({ ids: [...some] }));
    },

    removeCollection: async (slug, signal) => {
      const name = collectionName(slug);
      known.delete(name);
      try {
        await ask(signal, (client) => client.deleteCollection({ name }));
      } catch (error) {
        if (!isDocbusError(error, 'chroma_not_found')) throw error;
      }
    },

    count: async (slug, signal) => (await onCollection(slug, signal, (collection) => collection.count())) ?? 0,

    present: async (slug, ids, signal) => {
      const present = new Set<string>();
      for (const some of slices(ids, IDS_MAX)) {
        const found = await onCollection(slug, signal, (collection) => collection.get({ ids: [...some], include: [] }));
        for (const id of found?.ids ?? []) present.add(id);
      }
      return present;
    },

    fetch: async (slug, ids, signal) => {
      const rows = new Map<string, FetchedRow>();
      for (const some of slices(ids, FETCH_ROWS)) {
        const include = ['embeddings', 'documents', 'metadatas'] as const;
        const found = await onCollection(slug, signal, (collection) => collection.get({ ids: [...some], include: [...include] }));
        for (const [index, id] of (found?.ids ?? []).entries()) {
          const vector = found?.embeddings[index];
          const text = found?.documents[index];
          if (vector === undefined || vector === null || typeof text !== 'string') return undefined;
          rows.set(id, { vector, text, metadata: found?.metadatas[index] ?? {} });
        }
        if (some.some((id) => !rows.has(id))) return undefined;
      }
      return embeddingOf(ids, rows);
    },
  };
}

function parseUrl(text: string): { host: string; port: number; ssl: boolean } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.pathname !== '/')
    throw new DocbusError(
      'config_invalid',
      `CHROMA_ENDPOINT is ${text}; docbus needs scheme, host and port without a path, for example http://localhost:8000.`,
    );
  const ssl = url.protocol === 'https:';
  return { host: url.hostname, port: Number(url.port) || (ssl ? 443 : 80), ssl };
}

function* slices<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let from = 0; from < all.length; from += size) yield all.slice(from, from + size);
}
