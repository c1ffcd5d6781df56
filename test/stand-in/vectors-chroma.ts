// A real Chroma, spoken to as AnythingLLM's client (chromadb 2.0.1) does: /api/v2, the default tenant and database, JSON floats,
// the distance in the collection's metadata, `configuration` null, no sizes checked, and no end to a request that hangs.
import type { AppVectors, Collection, Found, StoredVector } from './vectors.ts';

const COLLECTIONS = '/api/v2/tenants/default_tenant/databases/default_database/collections';
/** Rows in one request of inspect; the server refuses more than 32,766. */
const PAGE_ROWS = 1_000;

/** `url` without a path. The signal ends requests that hang, where the caller has one. */
export function openAppVectors(url: string, signal?: AbortSignal): AppVectors {
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await fetch(`${url}${path}`, {
      method,
      ...(signal === undefined ? {} : { signal }),
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Chroma answers ${answer.status} to ${method} ${path}: ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }
  const named = (name: string): string => `${COLLECTIONS}/${encodeURIComponent(name)}`;
  const within = ({ id }: Collection, action: string): string => `${COLLECTIONS}/${id}/${action}`;
  const asCollection = ({ id, name }: Collection): Collection => ({ id, name });

  return {
    heartbeat: async () => void (await call('GET', '/api/v2/heartbeat')),
    getOrCreate: async (name) =>
      asCollection(
        await call('POST', COLLECTIONS, { name, configuration: null, metadata: { 'hnsw:space': 'cosine' }, get_or_create: true }),
      ),
    get: async (name) => asCollection(await call('GET', named(name))),
    add: async (collection, { ids, metadatas, documents, embeddings }) =>
      void (await call('POST', within(collection, 'add'), { ids, metadatas, documents, embeddings })),
    delete: async (collection, ids) => void (await call('POST', within(collection, 'delete'), { ids })),
    count: (collection) => call('GET', within(collection, 'count')),
    query: async (collection, vector, count) => {
      const answer = await call<Rows<(string | null)[][]>>('POST', within(collection, 'query'), {
        query_embeddings: [vector],
        n_results: count,
      });
      return (answer.ids[0] ?? []).map((id, row): Found => {
        const text = answer.documents[0]?.[row] ?? null;
        const metadata = (answer.metadatas[0]?.[row] ?? null) as Found['metadata'];
        return { id: String(id), text, metadata, distance: Number(answer.distances[0]?.[row]) };
      });
    },
    deleteCollection: async (name) => void (await call('DELETE', named(name))),

    collections: async () => (await call<Collection[]>('GET', `${COLLECTIONS}?limit=${PAGE_ROWS}`)).map(asCollection),
    all: async (collection) => {
      const rows: StoredVector[] = [];
      for (;;) {
        const include = ['documents', 'metadatas', 'embeddings'];
        const page = await call<Page>('POST', within(collection, 'get'), { limit: PAGE_ROWS, offset: rows.length, include });
        page.ids.forEach((id, row) => {
          rows.push({ id, text: page.documents[row] ?? null, metadata: page.metadatas[row] ?? null, values: page.embeddings[row] ?? [] });
        });
        if (page.ids.length < PAGE_ROWS) return rows;
      }
    },
  };
}

type Rows<Texts> = { readonly ids: Texts; readonly documents: Texts; readonly metadatas: unknown[][]; readonly distances: number[][] };
type Page = {
  readonly ids: string[];
  readonly documents: (string | null)[];
  readonly metadatas: StoredVector['metadata'][];
  readonly embeddings: number[][];
};
