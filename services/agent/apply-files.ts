// The files of a group: documents and their caches, which are replaced together or not at all.
import { documentKey, embeddingKey, type DocPath, type EmbeddingContent } from '@docbus/core';
import type { Work } from './apply-work.ts';
import type { Context } from './context.ts';
import { makeWay } from './give-way.ts';
import { recordedEmbedding } from './recorded.ts';
import { chunksComeFrom } from './stale.ts';
import { vectorIdsOf } from './vector-ids.ts';

export function writeDocument(work: Work, path: DocPath, bytes: Uint8Array, hash: string): void {
  const { replica } = work.context;
  replica.documents.write(path, bytes);
  const signature = replica.documents.signature(path);
  if (signature !== undefined) work.marks.push({ place: 'document', path, mark: { signature, hash } });
  if (work.embeddings.has(path)) return;
  dropStaleCache(work, path, bytes);
  if (!work.winners.has(embeddingKey(path))) cacheEarlier(work, path, hash);
}

/** An embedding that came before its document could not be cached then; without a cache the next embed here would embed anew. */
function cacheEarlier({ context, marks }: Work, path: DocPath, hash: string): void {
  const { manifest, replica } = context;
  const entry = manifest.entry(embeddingKey(path));
  if (entry?.state !== 'present' || (entry.content as EmbeddingContent).documentHash !== hash) return;
  const recorded = recordedEmbedding(context, path);
  if (typeof recorded === 'string' || replica.caches.signature(path) !== undefined) return;
  replica.caches.write(path, recorded.load(), vectorIdsOf(path, recorded.hash, recorded.chunks));
  const signature = replica.caches.signature(path);
  if (signature !== undefined) marks.push({ place: 'cache', path, mark: { signature, hash: recorded.hash } });
}

/** A cache made from an earlier content would be used unseen by the next embed here (AnythingLLM keys it by path). */
function dropStaleCache(work: Work, path: DocPath, document: Uint8Array): void {
  const { replica } = work.context;
  if (replica.caches.signature(path) === undefined) return;
  const cache = replica.caches.read(path);
  if (cache.type === 'read' && chunksComeFrom(cache.value.texts, document)) return;
  dropCache(work, path);
}

export function dropCache({ context, marks }: Work, path: DocPath): void {
  context.replica.caches.remove(path);
  marks.push({ place: 'cache', path, mark: undefined });
}

/** Once per path; the document must be there, a cache without one is an orphan. */
export function writeCache(work: Work, path: DocPath): void {
  const { replica } = work.context;
  const embedded = work.embeddings.get(path);
  if (embedded === undefined || embedded.cached) return;
  embedded.cached = true;
  if (!embedded.adopted && replica.documents.signature(path) !== undefined && !work.refused.has(embeddingKey(path)))
    replica.caches.write(path, embedded.embedding, vectorIdsOf(path, embedded.hash, embedded.embedding.texts.length));
  const signature = replica.caches.signature(path);
  if (signature !== undefined) work.marks.push({ place: 'cache', path, mark: { signature, hash: embedded.hash } });
}

export function removeDocument(work: Work, path: DocPath): void {
  const { replica } = work.context;
  makeWay(work, documentKey(path), path, undefined);
  dropCache(work, path);
  replica.documents.remove(path);
  work.marks.push({ place: 'document', path, mark: undefined });
}

export async function syncedFiles({ replica: { documents, caches } }: Context): Promise<void> {
  await Promise.all([documents.synced(), caches.synced()]);
}
