// collect turns candidates into drafts: the edits that are true now, with their content, in an order in which a reader can use
// them (workspace, document, embedding, membership), bounded in number and bytes. What does not fit stays a candidate.
import {
  canonicalJson,
  contentHash,
  documentKey,
  embeddingKey,
  encodeEmbedding,
  isDocbusError,
  sha256,
  workspaceKey,
  type Content,
  type DocPath,
  type Embedding,
  type EmbeddingContent,
  type Key,
  type MembershipContent,
} from '@docbus/core';
import { packPayload } from '@docbus/log/payload.ts';
import type { Candidate, Context, Mark } from './context.ts';
import { examineCache, examineContent, examineDocument } from './examine.ts';
import { isDatabaseReplaced } from './places.ts';
import { chunksComeFrom } from './stale.ts';

/** An edit ready to be published. `packed` for documents and embeddings. */
export type Draft = { readonly key: Key; readonly hash: string; readonly marks: readonly Mark[] } & (
  | { readonly state: 'present'; readonly content: Content; readonly packed: Uint8Array | undefined }
  | { readonly state: 'deleted'; readonly content: null; readonly packed: undefined }
);

export type Collected = { readonly drafts: readonly Draft[]; readonly marks: readonly Mark[]; readonly full: boolean };

/** Counts what is drafted against the limits of one step; one draft always fits. */
type Room = { changes: number; bytes: number };

/** `only` narrows to some keys: what must be in the log before something else is applied here. */
export async function collectPuts(context: Context, signal: AbortSignal, only?: ReadonlySet<Key>): Promise<Collected> {
  const { settings, manifest } = context;
  const drafts = new Map<Key, Draft>();
  const marks: Mark[] = [];
  const room: Room = { changes: settings.publishChangesMax, bytes: settings.publishBytesMax };
  const add = (draft: Draft): void => {
    drafts.set(draft.key, draft);
    room.changes -= 1;
    room.bytes -= draft.packed?.length ?? 0;
  };
  const full = (): boolean => room.changes <= 0 || room.bytes <= 0;

  const asked = (key: Key): boolean => only === undefined || only.has(key);
  const into: Into = { add, full, marks, asked, mayWait: only === undefined };

  // Rows of another database, or of an older copy of the right one, are nobody's edits.
  const isReplaced = isDatabaseReplaced(context);
  if (!isReplaced) draftWorkspaces(context, into);
  // Of what is asked for all are looked at: whoever asks takes what is not drafted for something that cannot be.
  const waiting: ReadonlyMap<Key, Candidate> = isReplaced
    ? new Map()
    : pendingMemberships(context, asked, only === undefined ? context.settings.publishChangesMax : Infinity);
  for (const { path } of waiting.values()) {
    // Rows are noticed sooner than files, and an embedding must not go out before its document: it could not be cached where it arrives.
    context.state.documents.add(path);
    context.state.embeddings.add(path);
  }
  draftDocuments(context, into);
  await draftEmbeddings(context, waiting, into, signal);
  for (const [key, candidate] of waiting) {
    if (full()) break;
    const recorded = (needed: Key): boolean => drafts.get(needed)?.state === 'present' || manifest.entry(needed)?.state === 'present';
    // What was read from the log and is not yet applied as a whole is in the log, too.
    const logged = (needed: Key): boolean => recorded(needed) || manifest.intentsOf(needed).some((intent) => intent.state === 'present');
    const documentReady = logged(documentKey(candidate.path)) || context.replica.documents.signature(candidate.path) === undefined;
    const embeddingReady = recorded(embeddingKey(candidate.path)) || !context.state.embeddings.has(candidate.path);
    if (!logged(workspaceKey(candidate.slug)) || !documentReady || !embeddingReady) {
      // To the end of the line, so that one that cannot go yet holds up no other.
      context.state.memberships.delete(key);
      context.state.memberships.set(key, candidate);
      continue;
    }
    const content: MembershipContent = { copies: candidate.copies };
    if (recorded(embeddingKey(candidate.path))) context.state.withoutEmbedding.delete(key);
    else context.state.withoutEmbedding.add(key);
    add({ key, state: 'present', hash: contentHash(content), content, packed: undefined, marks: [] });
  }
  return { drafts: [...drafts.values()], marks, full: full() };
}

type Into = {
  readonly add: (draft: Draft) => void;
  readonly full: () => boolean;
  readonly marks: Mark[];
  readonly asked: (key: Key) => boolean;
  /** What needs a Chroma that does not answer waits for it, and nothing else does. Otherwise collecting fails. */
  readonly mayWait: boolean;
};

/** A workspace travels inside one record. */
const WORKSPACE_CHARACTERS_MAX = 128 * 1024;

function draftWorkspaces({ replica, manifest, state }: Context, { add, full, asked }: Into): void {
  for (const slug of state.workspaces) {
    if (full()) return;
    const key = workspaceKey(slug);
    const content = asked(key) ? replica.records.workspace(slug) : undefined;
    if (content === undefined) continue;
    const { edit, hash } = examineContent(manifest, key, content);
    if (canonicalJson(content).length > WORKSPACE_CHARACTERS_MAX)
      state.problems.workspace.set(key, `its settings are longer than ${WORKSPACE_CHARACTERS_MAX} characters; shorten the prompt`);
    else if (edit === 'put') add({ key, state: 'present', hash, content, packed: undefined, marks: [] });
    else state.workspaces.delete(slug);
  }
}

function draftDocuments(context: Context, { add, full, marks, asked }: Into): void {
  const { state } = context;
  for (const path of state.documents) {
    if (full()) return;
    if (!asked(documentKey(path))) continue;
    const look = examineDocument(context, path);
    if (look.picture === 'unsettled' || look.picture.state === 'absent') {
      // An unsettled file stays a candidate; an absent one is for deletions.ts.
      continue;
    }
    state.documents.delete(path);
    if (look.edit !== 'put' || look.value === undefined) {
      marks.push(...look.marks);
      continue;
    }
    add({
      key: documentKey(path),
      state: 'present',
      hash: look.picture.hash,
      content: { bytes: look.value.length },
      packed: packPayload(look.value),
      marks: look.marks,
    });
  }
}

/** Memberships whose rows say something that is not recorded. */
function pendingMemberships({ manifest, state }: Context, asked: (key: Key) => boolean, most: number): Map<Key, Candidate> {
  const pending = new Map<Key, Candidate>();
  for (const [key, candidate] of state.memberships) {
    if (candidate.copies.length === 0 || !asked(key)) continue;
    if (examineContent(manifest, key, { copies: candidate.copies }).edit === 'put') pending.set(key, candidate);
    else state.memberships.delete(key);
    if (pending.size >= most) break;
  }
  return pending;
}

async function draftEmbeddings(
  context: Context,
  waiting: ReadonlyMap<Key, Candidate>,
  { add, full, marks, asked, mayWait }: Into,
  signal: AbortSignal,
): Promise<void> {
  const { manifest, state } = context;
  const rowsOf = Map.groupBy(waiting.values(), ({ path }) => path);
  let isAway = false;
  for (const path of state.embeddings) {
    if (full()) return;
    const key = embeddingKey(path);
    if (!asked(key)) continue;
    const recorded = manifest.entry(key)?.state === 'present';
    const rows = rowsOf.get(path) ?? [];
    // Without a row the embed is not complete; without the document the cache is an orphan.
    if (!recorded && rows.length === 0) {
      state.embeddings.delete(path);
      continue;
    }
    const look = examineCache(context, path);
    marks.push(...look.marks);
    if (look.edit === 'put' && look.value !== undefined) {
      add(draftOf(context, path, look.value));
      state.embeddings.delete(path);
      continue;
    }
    if (recorded && look.picture === 'unsettled') continue;
    // A row without a readable cache: the settings were saved since, or the cache was truncated. The collection still has the vectors.
    const isFetched = !recorded && (look.picture === 'unsettled' || look.picture.state === 'absent');
    if (isFetched && isAway) continue;
    const fetched = isFetched ? fetchFromCollection(context, rows, signal) : undefined;
    const found = mayWait ? await fetched?.catch(awayOf(signal)) : await fetched;
    if (found === 'away') {
      isAway = true;
      continue;
    }
    if (found !== undefined) add(draftOf(context, path, found));
    state.embeddings.delete(path);
  }
}

/** 'away': Chroma does not answer. */
function awayOf(signal: AbortSignal): (error: unknown) => 'away' {
  return (error) => {
    if (signal.aborted || !isDocbusError(error, 'chroma_unreachable')) throw error;
    return 'away';
  };
}

async function fetchFromCollection(
  { replica: { records, vectors }, manifest }: Context,
  rows: readonly Candidate[],
  signal: AbortSignal,
): Promise<Embedding | undefined> {
  const docIds = rows.flatMap(({ copies }) => copies.map(({ docId }) => docId));
  const ids = records.vectorIds(docIds);
  for (const { slug, copies } of rows)
    for (const { docId } of copies) {
      const wanted = ids.get(docId) ?? [];
      if (wanted.length === 0 || manifest.fill(docId) !== undefined) continue;
      const embedding = await vectors.fetch(slug, wanted, signal);
      if (embedding !== undefined) return embedding;
    }
  return undefined;
}

function draftOf(context: Context, path: DocPath, embedding: Embedding): Draft {
  const raw = encodeEmbedding(embedding);
  const { chunkSize, chunkOverlap } = context.replica.records.look();
  const document = context.replica.documents.read(path);
  const documentHash = document.type === 'read' && chunksComeFrom(embedding.texts, document.value) ? document.hash : null;
  const content: EmbeddingContent = {
    fingerprint: {
      ...context.settings.embedder,
      dimensions: embedding.dimensions,
      chunkSize,
      chunkOverlap: chunkOverlap ?? DEFAULT_OVERLAP,
    },
    chunks: embedding.texts.length,
    documentHash,
  };
  return { key: embeddingKey(path), state: 'present', hash: sha256(raw), content, packed: packPayload(raw), marks: [] };
}

/** AnythingLLM's text splitter overlaps by 20 characters where text_splitter_chunk_overlap is not set. */
const DEFAULT_OVERLAP = 20;
