// The vectors port over a Chroma in memory: deterministic, and held to the same suite as the real one.
import { DocbusError, type Slug } from '@docbus/core';
import { chromaMetadata } from './chroma-metadata.ts';
import type { FakeChroma, FakeCollection } from './chroma-fake.ts';
import { collectionName } from './collection-name.ts';
import { embeddingOf, type FetchedRow } from './fetched.ts';
import type { Vectors } from './port.ts';

export function createFakeVectors(chroma: FakeChroma): Vectors {
  const collectionOf = (slug: Slug): FakeCollection | undefined => chroma.get(collectionName(slug));

  /** Every call is a visit over a network: nothing happens when the signal has aborted, and the answer comes later. */
  async function visit<T>(signal: AbortSignal, body: () => T): Promise<T> {
    if (signal.aborted) throw new DocbusError('aborted', 'The request to Chroma was given up because the agent stops.');
    await Promise.resolve();
    return body();
  }

  return {
    ready: (signal) => visit(signal, () => void chroma.get('')),

    add: (slug, batch, signal) =>
      visit(signal, () => {
        const { ids, vectors, dimensions, texts, metadatas } = batch;
        if (ids.length === 0) return;
        const { id: collectionId } = chroma.getOrCreate(collectionName(slug));
        chroma.add(
          collectionId,
          ids.map((id, index) => ({
            id,
            vector: vectors.slice(index * dimensions, (index + 1) * dimensions),
            text: (texts[index] ?? '').toWellFormed(),
            metadata: chromaMetadata(metadatas[index] ?? {}),
          })),
        );
      }),

    remove: (slug, ids, signal) =>
      visit(signal, () => {
        const collection = collectionOf(slug);
        if (collection !== undefined) chroma.remove(collection.id, ids);
      }),

    removeCollection: (slug, signal) => visit(signal, () => void chroma.drop(collectionName(slug))),

    count: (slug, signal) => visit(signal, () => collectionOf(slug)?.rows.size ?? 0),

    present: (slug, ids, signal) =>
      visit(signal, () => {
        const rows = collectionOf(slug)?.rows;
        return new Set(ids.filter((id) => rows?.has(id)));
      }),

    fetch: (slug, ids, signal) =>
      visit(signal, () => {
        const rows = new Map<string, FetchedRow>();
        for (const id of ids) {
          const row = collectionOf(slug)?.rows.get(id);
          if (row === undefined || row.text === null) return undefined;
          rows.set(id, { vector: row.vector, text: row.text, metadata: row.metadata ?? {} });
        }
        return embeddingOf(ids, rows);
      }),
  };
}
