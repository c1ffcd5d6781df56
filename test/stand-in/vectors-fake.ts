// The stand-in's vector store over the Chroma in memory that the simulation shares with the agents. It passes the same suite as the real one.
import type { FakeChroma, FakeCollection } from '@docbus/replica/chroma-fake.ts';
import type { AppVectors, Collection, Found } from './vectors.ts';

export function openFakeAppVectors(chroma: FakeChroma): AppVectors {
  /** Every call is a visit over a network: the answer comes later. */
  async function visit<T>(body: () => T): Promise<T> {
    await Promise.resolve();
    return body();
  }
  const asCollection = ({ id, name }: FakeCollection): Collection => ({ id, name });
  const named = (name: string): FakeCollection => {
    const collection = chroma.get(name);
    if (collection === undefined) throw new Error(`Collection [${name}] does not exist`);
    return collection;
  };
  /** By the id that it had when it was looked up. */
  const current = ({ id, name }: Collection): FakeCollection => {
    const collection = named(name);
    if (collection.id !== id) throw new Error(`Collection [${id}] does not exist`);
    return collection;
  };

  return {
    heartbeat: () => visit(() => void chroma.get('')),
    getOrCreate: (name) => visit(() => asCollection(chroma.getOrCreate(name))),
    get: (name) => visit(() => asCollection(named(name))),
    add: (collection, { ids, embeddings, metadatas, documents }) =>
      visit(() => {
        const rows = ids.map((id, index) => ({
          id,
          vector: Float32Array.from(embeddings[index] ?? []),
          text: documents[index] ?? null,
          metadata: JSON.parse(JSON.stringify(metadatas[index])) as Record<string, unknown>, // what is undefined does not travel
        }));
        chroma.add(collection.id, rows);
      }),
    delete: (collection, ids) => visit(() => chroma.remove(collection.id, ids)),
    count: (collection) => visit(() => current(collection).rows.size),
    query: (collection, vector, count) =>
      visit(() => {
        const found = [...current(collection).rows].map(([id, row]): Found => {
          return { id, text: row.text, metadata: row.metadata, distance: cosineDistance(row.vector, vector) };
        });
        return found.toSorted((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1)).slice(0, count);
      }),
    deleteCollection: (name) =>
      visit(() => {
        if (!chroma.drop(name)) throw new Error(`Collection [${name}] does not exist`);
      }),
    collections: () => visit(() => [...chroma.collections.values()].map(asCollection)),
    all: (collection) =>
      visit(() =>
        [...current(collection).rows].map(([id, { text, metadata, vector }]) => ({ id, text, metadata, values: Array.from(vector) })),
      ),
  };
}

function cosineDistance(a: Float32Array, b: readonly number[]): number {
  let product = 0;
  let lengthA = 0;
  let lengthB = 0;
  for (let index = 0; index < a.length; index++) {
    const [x, y] = [a[index] ?? 0, b[index] ?? 0];
    product += x * y;
    lengthA += x * x;
    lengthB += y * y;
  }
  return 1 - product / Math.sqrt(lengthA * lengthB || 1);
}
