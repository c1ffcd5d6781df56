// AnythingLLM's Chroma provider: what adding a document to a workspace's collection and taking it out again does, in its order.
// Adding catches every error and reports it; removing throws when Chroma is down.
import { randomUuid } from '@docbus/runtime/clock.ts';
import type { App } from './app.ts';
import { write } from './app.ts';
import type { Effect, Steps } from './effects.ts';
import { readCache, writeCache, type CachedVector, type DocumentData } from './files.ts';
import { collectionName } from './names.ts';
import { chunkHeader, splitDocument } from './splitter.ts';
import type { Collection, Found, Submission } from './vectors.ts';

export type Vectorized = { readonly vectorized: boolean; readonly error: string | null };

/** Vectors per batch of a cache, and per request of the cached branch; the first embedding goes out in one request of any size. */
const BATCH = 500;

type VectorRow = { readonly docId: string; readonly vectorId: string };

/** `docpath` null: nothing is cached (agent memory). `skipCache`: embed again although there is a cache, and replace it. */
export async function* addToNamespace(
  app: App,
  namespace: string,
  document: DocumentData & { readonly docId: string },
  docpath: string | null,
  skipCache = false,
): Steps<Vectorized> {
  try {
    const { pageContent, docId, ...metadata } = document;
    if (typeof pageContent !== 'string' || pageContent.length === 0) return { vectorized: false, error: null };
    const cached = skipCache || docpath === null ? undefined : yield* readCache(app, docpath);
    const rows =
      cached === undefined
        ? yield* addEmbedding(app, namespace, pageContent, docId, metadata, docpath)
        : yield* addCached(app, namespace, cached, docId);
    yield* addVectorRows(app, rows);
    return { vectorized: true, error: null };
  } catch (error) {
    return { vectorized: false, error: error instanceof Error ? error.message : String(error) };
  }
}

/** Every id is new, and the metadata is the cache's: without `id`, with `text`, as old as the cache. */
async function* addCached(app: App, namespace: string, batches: CachedVector[][], docId: string): Steps<VectorRow[]> {
  const collection = yield* openCollection(app, namespace);
  const rows: VectorRow[] = [];
  for (const batch of batches) {
    const submission: Submission = { ids: [], embeddings: [], metadatas: [], documents: [] };
    for (const { values, metadata } of batch) {
      const vectorId = randomUuid(app.clock);
      const { id: _id, ...rest } = metadata;
      rows.push({ docId, vectorId });
      submission.ids.push(vectorId);
      submission.embeddings.push(values);
      submission.metadatas.push(rest);
      submission.documents.push(rest['text'] as string);
    }
    await app.vectors.add(collection, submission);
    yield { done: 'vectors added', to: namespace };
  }
  return rows;
}

/** The metadata is the file's: with `id`, without `text`. The cache comes after the vectors and before the rows. */
async function* addEmbedding(
  app: App,
  namespace: string,
  pageContent: string,
  docId: string,
  metadata: DocumentData,
  docpath: string | null,
): Steps<VectorRow[]> {
  const texts = splitDocument(pageContent, { ...chunking(app), header: chunkHeader(metadata) });
  const vectors = texts.length === 0 ? [] : await app.embedder.embed(texts);
  if (vectors.length === 0) throw new Error('There are no chunks to embed; the document is not recorded.');
  yield { done: 'chunks embedded', to: docpath ?? namespace };
  const items = vectors.map((vector, index): CachedVector => {
    return { id: randomUuid(app.clock), values: Array.from(vector), metadata: { ...metadata, text: texts[index] } };
  });
  const collection = yield* openCollection(app, namespace);
  await app.vectors.add(collection, {
    ids: items.map(({ id }) => id),
    embeddings: items.map(({ values }) => values),
    metadatas: items.map(() => metadata),
    documents: texts,
  });
  yield { done: 'vectors added', to: namespace };
  if (docpath !== null) yield* writeCache(app, docpath, batchesOf(items));
  return items.map(({ id }) => ({ docId, vectorId: id }));
}

function batchesOf(items: readonly CachedVector[]): CachedVector[][] {
  return Array.from({ length: Math.ceil(items.length / BATCH) }, (_, index) => items.slice(index * BATCH, (index + 1) * BATCH));
}

async function* openCollection(app: App, namespace: string): Steps<Collection> {
  await app.vectors.heartbeat();
  const collection = await app.vectors.getOrCreate(collectionName(namespace));
  yield { done: 'collection ready', to: namespace };
  return collection;
}

/** Characters; the embedder's maximum wins. Settings are text, and an error while reading them is no setting. */
export function chunking({ database, embedder }: App): { readonly chunkSize: number; readonly chunkOverlap: number } {
  const setting = (label: string): number | undefined => {
    const read = (): { value: string | null } | undefined => database.get('SELECT value FROM system_settings WHERE label = ?', label);
    const value = database.attempt(`read ${label}`, read, undefined)?.value ?? null;
    return value === null || Number.isNaN(Number(value)) ? undefined : Number(value);
  };
  const chunkSize = Math.min(setting('text_splitter_chunk_size') ?? embedder.maxChunkLength, embedder.maxChunkLength);
  return { chunkSize, chunkOverlap: setting('text_splitter_chunk_overlap') ?? 20 };
}

/** All in one transaction; when it fails, the vectors stay in Chroma and nothing knows their ids. */
function* addVectorRows(app: App, rows: readonly VectorRow[]): Generator<Effect, void> {
  if (rows.length === 0) return;
  const { database, clock } = app;
  yield* write(app, 'vector rows added', rows[0]?.docId ?? '', () => {
    const now = clock.now();
    database.transaction(() => {
      for (const row of rows) database.insert('document_vectors', { ...row, createdAt: now, lastUpdatedAt: now });
    });
  });
}

/** Any error while looking the collection up counts as "there is none": then the vectors stay. */
export async function* removeFromNamespace(app: App, namespace: string, docId: string): Steps<void> {
  const { database, vectors } = app;
  await vectors.heartbeat();
  if ((await lookUp(app, collectionName(namespace))) === undefined) return;
  const collection = await vectors.get(collectionName(namespace));
  const read = (): { id: number; vectorId: string }[] => database.all('SELECT id, vectorId FROM document_vectors WHERE docId = ?', docId);
  const rows = database.attempt(`read vectors of ${docId}`, read, []);
  if (rows.length === 0) return;
  yield { done: 'rows read', to: docId };
  await vectors.delete(
    collection,
    rows.map(({ vectorId }) => vectorId),
  );
  yield { done: 'vectors removed', to: namespace };
  yield* write(app, 'vector rows removed', docId, () => {
    database.run('DELETE FROM document_vectors WHERE id IN (SELECT value FROM json_each(?))', JSON.stringify(rows.map(({ id }) => id)));
  });
}

/** Drops a workspace's collection; throws when there is none. The name is normalised twice here. */
export async function* removeNamespace({ vectors }: App, namespace: string): Steps<void> {
  const name = collectionName(collectionName(namespace));
  await vectors.heartbeat();
  await vectors.count(await vectors.get(name));
  await vectors.deleteCollection(name);
  yield { done: 'collection removed', to: namespace };
}

/** What a chat or a vector search would get; nothing where the workspace has no collection. */
export async function searchNamespace(app: App, namespace: string, text: string, count: number): Promise<readonly Found[]> {
  const { vectors, embedder } = app;
  await vectors.heartbeat();
  if ((await lookUp(app, collectionName(collectionName(namespace)))) === undefined) return [];
  const vector = await embedder.embedQuery(text);
  const collection = await vectors.get(collectionName(namespace));
  return await vectors.query(collection, Array.from(vector), count);
}

async function lookUp({ vectors }: App, name: string): Promise<Collection | undefined> {
  try {
    return await vectors.get(name);
  } catch {
    return undefined; // whatever it was, as in the original
  }
}
