// A Chroma in memory for tests and the simulation: collections by name and id, with the meaning of the real server as far as
// AnythingLLM and docbus lean on it. It outlives the agents that talk to it, as a server does, and everything in it can be looked at.
import { DocbusError } from '@docbus/core';

export type FakeRow = {
  readonly vector: Float32Array;
  readonly text: string | null;
  readonly metadata: Readonly<Record<string, unknown>> | null;
};

export type FakeCollection = { readonly id: string; readonly name: string; readonly rows: Map<string, FakeRow> };

export type FakeChroma = {
  /** by name */
  readonly collections: ReadonlyMap<string, FakeCollection>;
  /** While false, every call throws `chroma_unreachable`. */
  up: boolean;
  getOrCreate(name: string): FakeCollection;
  /** undefined where there is none. */
  get(name: string): FakeCollection | undefined;
  /** False where there was none. */
  drop(name: string): boolean;
  /** Existing ids are left as they are, all or nothing else. Throws `chroma_not_found` for the id of a dropped collection and `vectors_refused` as the server refuses. */
  add(collectionId: string, rows: readonly (FakeRow & { readonly id: string })[]): void;
  /** Absent ids are fine. Throws `chroma_not_found`. */
  remove(collectionId: string, ids: readonly string[]): void;
};

export function createFakeChroma(): FakeChroma {
  const collections = new Map<string, FakeCollection>();
  let created = 0;

  const chroma: FakeChroma = {
    collections,
    up: true,
    getOrCreate(name) {
      answer();
      if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]$/.test(name)) throw refusal(`not a collection name: ${name}`);
      const there = collections.get(name) ?? { id: `collection-${++created}`, name, rows: new Map<string, FakeRow>() };
      collections.set(name, there);
      return there;
    },
    get(name) {
      answer();
      return collections.get(name);
    },
    drop(name) {
      answer();
      return collections.delete(name);
    },
    add(collectionId, rows) {
      const collection = byId(collectionId);
      const [some] = collection.rows.values();
      const dimensions = some?.vector.length ?? rows[0]?.vector.length;
      for (const { id, vector, text, metadata } of rows) {
        if (id === '') throw refusal('Empty ID');
        if (vector.length !== dimensions)
          throw refusal(`Collection expecting embedding with dimension of ${dimensions}, got ${vector.length}`);
        if (!vector.every(Number.isFinite)) throw refusal('Non-finite float value');
        if (!id.isWellFormed() || text?.isWellFormed() === false) throw refusal('unexpected end of hex escape');
        for (const [key, value] of Object.entries(metadata ?? {})) if (!isTaken(key, value)) throw refusal(`metadata ${key}`);
      }
      for (const { id, vector, text, metadata } of rows)
        if (!collection.rows.has(id)) collection.rows.set(id, { vector: vector.slice(), text, metadata });
    },
    remove(collectionId, ids) {
      const { rows } = byId(collectionId);
      for (const id of ids) rows.delete(id);
    },
  };

  function answer(): void {
    if (!chroma.up) throw new DocbusError('chroma_unreachable', 'The Chroma in memory is down.');
  }

  function byId(id: string): FakeCollection {
    answer();
    for (const collection of collections.values()) if (collection.id === id) return collection;
    throw new DocbusError('chroma_not_found', `The Chroma in memory has no collection ${id}.`);
  }

  return chroma;
}

function refusal(message: string): DocbusError {
  return new DocbusError('vectors_refused', `The Chroma in memory refuses: ${message}.`);
}

/** Lists are taken by newer servers where they are of one type. */
function isTaken(key: string, value: unknown): boolean {
  if (key === '' || /^[#$]/.test(key)) return false;
  if (Array.isArray(value)) return value.every((part) => typeof part === typeof value[0] && isTaken(key, part));
  return (
    typeof value === 'boolean' ||
    (typeof value === 'string' && value.isWellFormed()) ||
    (typeof value === 'number' && Number.isFinite(value))
  );
}
