// What the agent needs of one AnythingLLM instance, in four places: documents, caches, records (SQLite), vectors (Chroma).
// Files and SQLite are synchronous (a look must not be interleaved with itself); Chroma is a network and takes a signal.
// Vectors is a port: the simulation's fake passes the same suite (vectors-conformance.ts) as the real server.
import type { DocPath, Embedding, MembershipCopy, Slug, WorkspaceContent, Fingerprint } from '@docbus/core';

/** size, mtime in nanoseconds and inode of a file as one text; equal signatures mean "not written since", see `racy`. */
export type Signature = string & { readonly brand: 'Signature' };

/**
 * 'absent': no such file. 'unsettled': there, but it does not parse (yet): neither published nor deleted, look again later. With a `signature`:
 * not before that is another one.
 * `racy`: the file was written so shortly before it was read that a later write could leave the same signature; read it again at the next look.
 */
export type Reading<T> =
  | { readonly type: 'absent' }
  | { readonly type: 'unsettled'; readonly reason: string; readonly signature: Signature | undefined }
  | { readonly type: 'read'; readonly value: T; readonly hash: string; readonly signature: Signature; readonly racy: boolean };

/** A name in documents/ or a row that cannot be replicated, for people. */
export type Problem = { readonly name: string; readonly reason: string };

export interface Documents {
  /** True where documents/ exists and holds at least one folder. Throws `storage_missing` where the storage directory itself is missing. */
  exists(): boolean;
  /** Folder names, in the order of their docpaths ("a-b/…" before "a/…"; UTF-8 bytes, as SQLite sorts). A symbolic link is not followed: listing it gives one problem. */
  folders(): readonly string[];
  /** Well-formed docpaths of regular files in one folder, sorted by UTF-8 bytes (as SQLite sorts); the rest are problems, named by path, or by folder where its own name is the problem (hidden and temporary names are silently left out). */
  list(folder: string): { readonly paths: readonly DocPath[]; readonly problems: readonly Problem[] };
  /** undefined only where nothing is there; throws where that cannot be known. What `read` refuses has a signature too, so that it never looks deleted. */
  signature(path: DocPath): Signature | undefined;
  /** The bytes and their sha256. 'unsettled' where it is not a JSON object. Throws `document_too_large` over documentBytesMax; refuses to follow a symbolic link (`path_refused`). */
  read(path: DocPath): Reading<Uint8Array>;
  /** Temporary name (dot name in the same folder) and rename; never through a symbolic link. `disk_full`, `disk_failed`, `path_refused`. */
  write(path: DocPath, bytes: Uint8Array): void;
  /** Absent is fine. Removes the folder too when that leaves it empty, except custom-documents. */
  remove(path: DocPath): void;
  /** Resolves when all that was written and removed is on the disk for good: record nothing before. `disk_full`, `disk_failed`. */
  synced(): Promise<void>;
}

export interface Caches {
  /** `<uuidv5(docpath)>.json` */
  name(path: DocPath): string;
  signature(path: DocPath): Signature | undefined;
  /** The embedding in the cache; `hash` is sha256 of encodeEmbedding(value). 'unsettled' where it is not a cache of the Chroma provider's shape. */
  read(path: DocPath): Reading<Embedding>;
  /** AnythingLLM's shape: batches of at most 500 of { id, values, metadata: { ...metadata, text } }. Temporary name and rename. */
  write(path: DocPath, embedding: Embedding, ids: readonly string[]): void;
  remove(path: DocPath): void;
  /** Resolves when all that was written and removed is on the disk for good: record nothing before. `disk_full`, `disk_failed`. */
  synced(): Promise<void>;
}

export type MembershipRow = { readonly slug: Slug; readonly path: DocPath; readonly copies: readonly MembershipCopy[] };

export type MembershipWrite = MembershipRow & {
  readonly expected: readonly MembershipCopy[];
  readonly metadata: string | null;
  /** All vectors of the copies that go, as they were removed from Chroma; undefined where their collection goes as a whole. */
  readonly goneVectorIds?: ReadonlySet<string> | undefined;
};

/**
 * 'changed': AnythingLLM wrote in between, look again. 'no_workspace': it waits for its workspace. 'docid_taken': a row of another
 * workspace or document has one of the docIds (unique in the table); nothing will change that but the other row going away.
 */
export type MembershipRefusal = MembershipWrite & { readonly reason: 'changed' | 'no_workspace' | 'docid_taken' };

export type VectorIdsAfter = { readonly ids: ReadonlyMap<string, readonly string[]>; readonly last: number; readonly more: boolean };

export type RecordsLook = {
  /** greatest id ever given in event_logs (sqlite_sequence): smaller than before means the database was replaced */
  readonly eventSequence: number;
  /** greatest event_logs id of a `workspace_vectors_reset`, 0 when there is none */
  readonly resetEvent: number;
  /** system_settings; null where not set */
  readonly chunkSize: number | null;
  readonly chunkOverlap: number | null;
};

export interface Records extends Disposable {
  /** Changes whenever another connection committed (PRAGMA data_version). Throws `database_missing`, `schema_unknown` naming table and column. Detects a replaced file. */
  version(): string;
  look(): RecordsLook;
  workspaces(): readonly { readonly slug: Slug; readonly content: WorkspaceContent }[];
  workspace(slug: Slug): WorkspaceContent | undefined;
  /** Equal as long as no row of workspace_documents came or went. Much cheaper than reading them, because every chat message changes the database too. */
  membershipsMark(): string;
  /** Equal as long as no row was pinned or unpinned: the only other thing that AnythingLLM does to them. Pins are in no index: one pass over the table (35 ms at 100,000 rows). */
  pinsMark(): string;
  /** All memberships, sorted by slug, then path (UTF-8 bytes, as SQLite sorts), streamed: called back once per (workspace, docpath), copies sorted by docId. Synchronous; one short read transaction that is over before the first call back. Rows with names that cannot be replicated go to `problem`. */
  eachMembership(row: (row: MembershipRow) => void, problem: (problem: Problem) => void): void;
  /** Every membership of the documents, sorted by slug and path. Neither docpath nor docId is indexed in AnythingLLM's tables: one pass over the table, however many are asked for, so ask for many at once. */
  membershipsOf(paths: readonly DocPath[]): readonly MembershipRow[];
  /** All memberships of one workspace. */
  membershipsIn(slug: Slug): readonly MembershipRow[];
  /** The vector ids of each docId ([] where there are none); one pass over document_vectors. */
  vectorIds(docIds: readonly string[]): ReadonlyMap<string, readonly string[]>;

  /** The rows of document_vectors that came after the row with that id, in the order of their ids, at most some 50,000; ids only grow. `last` is where to go on, `more` whether to. */
  vectorIdsAfter(id: number): VectorIdsAfter;
  /** The memberships that hold any of the docIds (unique and indexed in AnythingLLM's table), with those copies only. */
  membershipsHolding(docIds: readonly string[]): readonly MembershipRow[];

  /** Rows of document_vectors with ids of docbus' making (UUIDs of version 5; AnythingLLM's are of version 4) whose docId is in no workspace. One pass, in slices. */
  strayVectorIds(): readonly { readonly docId: string; readonly vectorId: string }[];

  // Writing: each is one BEGIN IMMEDIATE transaction far below a second; `database_busy` when the lock is not had in time. All may be repeated.
  putWorkspace(slug: Slug, content: WorkspaceContent): void;
  /** Rows of document_vectors and workspace_documents of the workspace first, then its row. Chats are not ours and stay. */
  removeWorkspace(slug: Slug): void;
  /**
   * Makes the rows of each membership equal to its `copies` (insert, delete, pin; [] removes them), document_vectors of removed
   * docIds included, in one transaction (or slices of it where that would take long). `expected` is what the rows must still be
   * (any order), and of the removed docIds no vectors but `goneVectorIds` may be known; rows that already equal `copies` are fine too. Where they are neither, nothing of that membership is written and it
   * is returned with the reason. `metadata`: JSON of the document without pageContent, for inserted rows.
   */
  setMemberships(writes: readonly MembershipWrite[]): readonly MembershipRefusal[];
  addVectorIds(rows: readonly { readonly docId: string; readonly vectorId: string }[]): void;
  removeVectorIds(rows: readonly { readonly docId: string; readonly vectorId: string }[]): void;
}

/** One request's worth of vectors; all arrays have the same length. */
export type VectorBatch = {
  readonly ids: readonly string[];
  /** ids.length × dimensions */
  readonly vectors: Float32Array;
  readonly dimensions: number;
  readonly texts: readonly string[];
  readonly metadatas: readonly Readonly<Record<string, unknown>>[];
};

/** Errors: `chroma_unreachable` (perhaps applied: send again), `chroma_refused`, `vectors_refused` (this batch can never be taken), `aborted`. */
export interface Vectors {
  /** Resolves when the server answers. */
  ready(signal: AbortSignal): Promise<void>;
  /** Adds to the workspace's collection, which is created exactly as AnythingLLM does (cosine) when missing. Ids that exist are left as they are. */
  add(slug: Slug, batch: VectorBatch, signal: AbortSignal): Promise<void>;
  /** Absent ids and an absent collection are fine. */
  remove(slug: Slug, ids: readonly string[], signal: AbortSignal): Promise<void>;
  /** Absent is fine. */
  removeCollection(slug: Slug, signal: AbortSignal): Promise<void>;
  /** 0 where there is no collection. */
  count(slug: Slug, signal: AbortSignal): Promise<number>;
  /** Which of the ids are there. */
  present(slug: Slug, ids: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Reads vectors back in the order of `ids` (relative error up to 1.4e-7 under cosine); undefined unless all are there. */
  fetch(slug: Slug, ids: readonly string[], signal: AbortSignal): Promise<Embedding | undefined>;
}

/** Where the fingerprint of this replica's embedder comes from: engine and model from the settings, chunking from the database. Dimensions are known from the first embedding. */
export type EmbedderSettings = Pick<Fingerprint, 'engine' | 'model'>;

export type Replica = {
  readonly documents: Documents;
  readonly caches: Caches;
  readonly records: Records;
  readonly vectors: Vectors;
};
