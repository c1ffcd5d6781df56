// The embedding of one document: chunk texts, vectors, metadata. One binary form, which is what is hashed, stored and sent:
// equal embeddings have equal bytes on every replica, whatever random ids AnythingLLM gave their vectors.

/** JSON metadata of one chunk as AnythingLLM's uncached branch sends it to Chroma: the file's fields with `id`, without pageContent, docId and text. Key order is kept. */
export type ChunkMetadata = Readonly<Record<string, unknown>>;

export type Embedding = {
  readonly dimensions: number;
  /** chunk texts, header included, in order */
  readonly texts: readonly string[];
  /** one per chunk; the same object for all of them where they do not differ */
  readonly metadatas: readonly ChunkMetadata[];
  /** texts.length × dimensions, row after row */
  readonly vectors: Float32Array;
};
