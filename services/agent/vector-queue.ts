// Collects the vectors of many documents into requests of one size and keeps one request in flight: Chroma works on it
// while the next one is made ready. A server takes requests one after the other, so more in flight would gain nothing (measured).
import { isDocbusError, type DocbusError, type Embedding, type Slug } from '@docbus/core';
import type { VectorBatch, Vectors } from '@docbus/replica/port.ts';

export type VectorWork = { readonly key: string; readonly slug: Slug; readonly ids: readonly string[]; readonly embedding: Embedding };

export type VectorQueue = {
  /** Resolves when the work is taken; it may be sent later. */
  add(work: VectorWork): Promise<void>;
  /** Sends the rest and waits; returns what the server refuses for good, by key. Throws what may pass. */
  flush(): Promise<ReadonlyMap<string, DocbusError>>;
};

/** A piece of one work: chunks from..to (exclusive). */
type Piece = VectorWork & { readonly from: number; readonly to: number };

export function createVectorQueue(vectors: Vectors, vectorsPerRequest: number, signal: AbortSignal): VectorQueue {
  /** by workspace and dimensions: what may share a request */
  const waiting = new Map<string, { pieces: Piece[]; count: number }>();
  let inflight: Promise<void> = Promise.resolve();
  const refused = new Map<string, DocbusError>();

  const sendAll = async (pieces: readonly Piece[]): Promise<void> => {
    try {
      await vectors.add(pieces[0]!.slug, batchOf(pieces), signal);
    } catch (error) {
      if (!isDocbusError(error, 'vectors_refused', 'embedder_mismatch')) throw error;
      // One bad document fails the whole request: find it by sending each alone.
      if (pieces.length === 1) refused.set(pieces[0]!.key, error);
      else for (const piece of pieces) await sendAll([piece]);
    }
  };
  const send = async (group: { pieces: Piece[]; count: number }): Promise<void> => {
    const { pieces } = group;
    group.pieces = [];
    group.count = 0;
    if (pieces.length === 0) return;
    await inflight;
    inflight = sendAll(pieces);
    // Its failure is thrown at the next await of it; until then it must not count as unhandled.
    inflight.catch(() => {});
  };

  return {
    async add(work) {
      const name = `${work.embedding.dimensions}/${work.slug}`;
      let group = waiting.get(name);
      if (group === undefined) waiting.set(name, (group = { pieces: [], count: 0 }));
      for (let from = 0; from < work.ids.length;) {
        const to = Math.min(work.ids.length, from + vectorsPerRequest - group.count);
        group.pieces.push({ ...work, from, to });
        group.count += to - from;
        from = to;
        if (group.count >= vectorsPerRequest) await send(group);
      }
    },
    async flush() {
      for (const group of waiting.values()) await send(group);
      await inflight;
      return refused;
    },
  };
}

function batchOf(pieces: readonly Piece[]): VectorBatch {
  const { dimensions } = pieces[0]!.embedding;
  const total = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
  const vectors = new Float32Array(total * dimensions);
  let row = 0;
  for (const { embedding, from, to } of pieces) {
    vectors.set(embedding.vectors.subarray(from * dimensions, to * dimensions), row * dimensions);
    row += to - from;
  }
  return {
    ids: pieces.flatMap(({ ids, from, to }) => ids.slice(from, to)),
    vectors,
    dimensions,
    texts: pieces.flatMap(({ embedding, from, to }) => embedding.texts.slice(from, to)),
    metadatas: pieces.flatMap(({ embedding, from, to }) => embedding.metadatas.slice(from, to)),
  };
}
