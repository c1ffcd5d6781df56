// What the stand-in needs of a vector store, call by call as AnythingLLM's client makes them. Two drivers: a real Chroma
// (vectors-chroma.ts), and whatever the simulation plugs in. Every method rejects when the store does not answer.

/** A collection as it was when it was looked up: after a drop and a new creation under the same name it leads nowhere. */
export type Collection = { readonly id: string; readonly name: string };

/** One request; all arrays have the same length. */
export type Submission = {
  readonly ids: string[];
  readonly embeddings: number[][];
  readonly metadatas: Record<string, unknown>[];
  readonly documents: string[];
};

export type Found = {
  readonly id: string;
  readonly text: string | null;
  readonly metadata: Readonly<Record<string, unknown>> | null;
  /** cosine distance: 0 is the same direction */
  readonly distance: number;
};

export type StoredVector = Omit<Found, 'distance'> & { readonly values: readonly number[] };

export interface AppVectors {
  /** Every visit of the original begins with it. */
  heartbeat(): Promise<void>;
  /** Created with cosine distance when it is missing. Rejects for a name that the store does not take. */
  getOrCreate(name: string): Promise<Collection>;
  /** Rejects when it is missing, and for any other reason alike. */
  get(name: string): Promise<Collection>;
  add(collection: Collection, submission: Submission): Promise<void>;
  /** Absent ids are fine. */
  delete(collection: Collection, ids: readonly string[]): Promise<void>;
  count(collection: Collection): Promise<number>;
  /** The nearest first. */
  query(collection: Collection, vector: readonly number[], count: number): Promise<readonly Found[]>;
  /** Rejects when it is missing. */
  deleteCollection(name: string): Promise<void>;

  // For inspect only; AnythingLLM asks neither.
  collections(): Promise<readonly Collection[]>;
  all(collection: Collection): Promise<readonly StoredVector[]>;
}
