// Collects the vectors of many documents into requests and keeps the server busy. A server that is given requests while it works takes
// them too, and answers all of them together when it has done all (measured with Chroma 1.5): whoever begins to make the next ready when
// it answers leaves it idle for that long. So one more request than it has is ready to go when it answers.
import { DocbusError, isDocbusError, type Embedding, type Slug } from '@docbus/core';
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
  /** Sends what is left of this group, or has it ready for when the server has answered others. */
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
  /** sent, or ready to be */
  const pending = new Set<Promise<void>>();
  /** one that begins when another has ended */
  const turns: PromiseWithResolvers<void>[] = [];
  let sent = 0;

  const myTurn = async (): Promise<void> => {
    if (sent < requestsMax) {
      sent++;
      return;
    }
    const turn = Promise.withResolvers<void>();
    turns.push(turn);
    await turn.promise;
  };
  const endTurn = (): void => {
    const next = turns.shift();
    if (next === undefined) sent--;
    else next.resolve();
  };

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
  const sendInTurn = async (pieces: readonly Piece[]): Promise<void> => {
    await myTurn();
    try {
      // An id is in AnythingLLM's table before its vector is in Chroma, so that AnythingLLM can always remove it.
      records.addVectorIds(pieces.flatMap(({ docId, ids, from, to }) => ids.slice(from, to).map((vectorId) => ({ docId, vectorId }))));
      await sendAll(pieces);
    } catch (error) {
      // Those that wait would only fail, too, and the step would end as much later.
      for (const turn of turns.splice(0)) turn.reject(error);
      throw error;
    } finally {
      endTurn();
    }
  };
  const send = async (place: { pieces: Piece[]; count: number }): Promise<void> => {
    const { pieces } = place;
    place.pieces = [];
    place.count = 0;
    if (pieces.length === 0) return;
    while (pending.size > requestsMax) await Promise.race(pending);
    const request = sendInTurn(pieces).finally(() => pending.delete(request));
    pending.add(request);
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
      const late = new DocbusError('aborted', 'The step ended before these vectors were sent; the next one sends them.');
      for (const turn of turns.splice(0)) turn.reject(late);
      await Promise.allSettled(pending);
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
