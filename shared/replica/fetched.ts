// What a vector store gave back, put together again as one embedding.
import type { Embedding } from '@docbus/core';

export type FetchedRow = {
  readonly vector: ArrayLike<number>;
  readonly text: string;
  readonly metadata: Readonly<Record<string, unknown>>;
};

/** Rows in the order of `ids`; undefined where there are none, one is missing or the vectors differ in length. */
export function embeddingOf(ids: readonly string[], rows: ReadonlyMap<string, FetchedRow>): Embedding | undefined {
  const ordered = ids.map((id) => rows.get(id));
  const dimensions = ordered[0]?.vector.length ?? 0;
  if (dimensions === 0) return undefined;
  const texts: string[] = [];
  const metadatas: Record<string, unknown>[] = [];
  const vectors = new Float32Array(ids.length * dimensions);
  let shared: { json: string; metadata: Record<string, unknown> } | undefined;
  for (const [index, row] of ordered.entries()) {
    if (row === undefined || row.vector.length !== dimensions) return undefined;
    vectors.set(row.vector, index * dimensions);
    texts.push(row.text);
    // AnythingLLM's cached branch leaves the text in the metadata; Chroma gives the keys back in any order.
    const fields = Object.entries(row.metadata).filter(([key]) => key !== 'text');
    const metadata = Object.fromEntries(fields.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const json = JSON.stringify(metadata);
    if (shared?.json !== json) shared = { json, metadata };
    metadatas.push(shared.metadata);
  }
  return { dimensions, texts, metadatas, vectors };
}
