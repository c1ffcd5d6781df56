// Collects the vectors of many documents into requests and keeps the server busy: while it works on some, the next is made ready.
// A server takes all requests together that came while it was at work, and answers them together: waiting ones cost nothing, an idle
// server does (measured: three of 500 vectors at a time are a quarter faster than one, and as fast as one of 2500).
import { isDocbusError, type DocbusError, type Embedding, type Slug } from '@docbus/core';
import type { Records, VectorBatch, Vectors } from '@docbus/replica/port.ts';

export type VectorWork = {
  readonly key: string;
  readonly slug: Slug;
  readonly docId: string;
  readonly ids: readonly string[];
  readonly embedding: Embedding;
};

/** Works that are waited for together. */
export type VectorGroup = {
  /** Resolves when the work is taken; it may be sent later, together with other works. */
  add(work: VectorWork): Promise<void>;
  /** Sends what is left of this group. */
  send(): Promise<void>;
  /** Sends what is left of this group and waits for all of it; returns what the server refuses for good, by key. Throws what may pass. */
  done(): Promise<ReadonlyMap<string, DocbusError>>;
};

/** Disposing it waits for what is under way: nothing may arrive at the server after the step that sent it has ended. */
export type VectorQueue = AsyncDisposable & { group(): VectorGroup };

export type VectorQueueOptions = {
  readonly vectors: Vectors;
  readonly records: Pick<Records, 'addVectorIds'>;
  readonly vectorsPerRequest: number;
  /** requests that the server has at one time */
  readonly requestsMax: number;
  readonly signal: AbortSignal;
};

/** A piece of one work: chunks from..to (exclusive). */
type Piece = VectorWork & { readonly from: number; readonly to: number; readonly owner: Owner };
type Owner = { readonly requests: Set<Promise<void>>; readonly refused: Map<string, DocbusError> };

export function createVectorQueue({ vectors, records, vectorsPerRequest, requestsMax, signal }: VectorQueueOptions): VectorQueue {
  /** by workspace and dimensions: what may share a request */
  const waiting = new Map<string, { pieces: Piece[]; count: number }>();
  const inflight = new Set<Promise<void>>();

  const sendAll = async (pieces: readonly Piece[]): Promise<void> => {
    try {
      await vectors.add(pieces[0]!.slug, batchOf(pieces), signal);
    } catch (error) {
      if (!isDocbusError(error, 'vectors_refused', 'embedder_mismatch')) throw error;
      // One bad document fails the whole request: find it by sending each alone.
      if (pieces.length === 1) pieces[0]!.owner.refused.set(pieces[0]!.key, error);
      else for (const piece of pieces) await sendAll([piece]);
    }
  };
  const send = async (place: { pieces: Piece[]; count: number }): Promise<void> => {
    const { pieces } = place;
    place.pieces = [];
    place.count = 0;
    if (pieces.length === 0) return;
    while (inflight.size >= requestsMax) await Promise.race(inflight);
    // An id is in AnythingLLM's table before its vector is in Chroma, so that AnythingLLM can always remove it.
    records.addVectorIds(pieces.flatMap(({ docId, ids, from, to }) => ids.slice(from, to).map((vectorId) => ({ docId, vectorId }))));
    const request = sendAll(pieces).finally(() => inflight.delete(request));
    inflight.add(request);
    for (const { owner } of pieces) owner.requests.add(request);
    // Its failure is thrown at the next await of it; until then it must not count as unhandled.
    request.catch(() => {});
  };

  return {
    group() {
      const owner: Owner = { requests: new Set(), refused: new Map() };
      const sendRest = async (): Promise<void> => {
        for (const place of waiting.values()) if (place.pieces.some((piece) => piece.owner === owner)) await send(place);
      };
      return {
        send: sendRest,
        async add(work) {
          const name = `${work.embedding.dimensions}/${work.slug}`;
          let place = waiting.get(name);
          if (place === undefined) waiting.set(name, (place = { pieces: [], count: 0 }));
          for (let from = 0; from < work.ids.length;) {
            const to = Math.min(work.ids.length, from + vectorsPerRequest - place.count);
            place.pieces.push({ ...work, from, to, owner });
            place.count += to - from;
            from = to;
            if (place.count >= vectorsPerRequest) await send(place);
          }
        },
        async done() {
          await sendRest();
          await Promise.all(owner.requests);
          return owner.refused;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(inflight);
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
