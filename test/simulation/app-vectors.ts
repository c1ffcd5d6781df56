// AnythingLLM's view of the Chroma in memory that its agent talks to as well. Keeps the ids that AnythingLLM added: what the agent
// leaves behind is judged more strictly than what the application itself does.
import { DocbusError } from '@docbus/core';
import type { FakeChroma, FakeCollection } from '@docbus/replica/chroma-fake.ts';
import type { AppVectors, Collection } from '../stand-in/index.ts';

export function createAppVectors(chroma: () => FakeChroma, added: Set<string>): AppVectors {
  const named = (name: string): FakeCollection => {
    const found = chroma().get(name);
    if (found === undefined) throw new DocbusError('chroma_not_found', `no collection ${name}`);
    return found;
  };
  const live = ({ id, name }: Collection): FakeCollection => {
    const found = named(name);
    if (found.id !== id) throw new DocbusError('chroma_not_found', `no collection ${id}`);
    return found;
  };
  return {
    heartbeat: async () => void chroma().get(''),
    getOrCreate: async (name) => chroma().getOrCreate(name),
    get: async (name) => named(name),
    add: async ({ id }, { ids, embeddings, metadatas, documents }) => {
      const rows = ids.map((rowId, index) => ({
        id: rowId,
        vector: Float32Array.from(embeddings[index] ?? []),
        text: documents[index]?.toWellFormed() ?? null,
        metadata: withoutNull(metadatas[index] ?? {}),
      }));
      chroma().add(id, rows);
      for (const rowId of ids) added.add(rowId);
    },
    delete: async ({ id }, ids) => chroma().remove(id, ids),
    count: async (collection) => live(collection).rows.size,
    query: async () => [],
    deleteCollection: async (name) => {
      if (!chroma().drop(name)) throw new DocbusError('chroma_not_found', `no collection ${name}`);
    },
    collections: async () => [...chroma().collections.values()],
    all: async (collection) =>
      [...live(collection).rows].map(([id, { text, metadata, vector }]) => ({ id, text, metadata, values: [...vector] })),
  };
}

function withoutNull(metadata: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(metadata).filter(([, value]) => value !== null));
}
