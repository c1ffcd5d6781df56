// apply makes the winners of a batch true on this replica: files, caches, rows, vectors. Effects first, memory second: nothing is
// recorded here but intents, so a crash anywhere is followed by the same work again. One bad change refuses itself, not the batch.
// It goes in groups, so that Chroma works on the vectors of one while the next is made ready.
import {
  decodeEmbedding,
  documentKey,
  DocbusError,
  embeddingKey,
  formatVersion,
  isDocbusError,
  kindOf,
  membershipKey,
  parseKey,
  type Change,
  type DocPath,
  type Embedding,
  type EmbeddingContent,
  type Key,
  type MembershipContent,
  type Slug,
  type WorkspaceContent,
} from '@docbus/core';
import { unpackPayload } from '@docbus/log';
import { collectionName } from '@docbus/replica/collection-name.ts';
import type { Recorded } from '@docbus/replica/manifest.ts';
import { conflictId } from './conflict-files.ts';
import { isBootstrapping, type Context, type Mark } from './context.ts';
import { examineCache, examineContent, examineDocument } from './examine.ts';
import { groupsOf, pathIn, type Group, type Winner } from './groups.ts';
import { beginMaterialise, openVectorQueue, type Materialised, type View } from './materialise.ts';
import { recordedEmbedding } from './recorded.ts';
import { chunksComeFrom } from './stale.ts';
import { vectorIdsOf } from './vector-ids.ts';
import type { VectorGroup } from './vector-queue.ts';

/** What came of a group of winners, to be recorded with them. */
export type Applied = {
  readonly winners: readonly Winner[];
  readonly refused: ReadonlyMap<Key, DocbusError>;
  readonly memberships: Materialised;
  readonly marks: readonly Mark[];
};

type Embedded = { readonly hash: string; readonly embedding: Embedding; readonly adopted: boolean; cached: boolean };

/** One group's work in progress. Only `group` and `marks` are its own, the rest is about the whole batch. */
type Work = {
  readonly context: Context;
  readonly winners: ReadonlyMap<Key, Winner>;
  readonly overruled: ReadonlySet<Key>;
  readonly refused: Map<Key, DocbusError>;
  /** of groups that are not yet recorded */
  readonly embeddings: Map<DocPath, Embedded>;
  /** documents of the groups that are not yet recorded */
  readonly documents: Map<DocPath, Uint8Array>;
  readonly group: Group;
  readonly marks: Mark[];
};

export type ApplyOptions = {
  /** one per key */
  readonly winners: readonly Winner[];
  /** local edits that could not be published and give way; their content is kept under conflicts */
  readonly overruled: ReadonlySet<Key>;
  /** Called once for each group, in order, as soon as it is true on disk. */
  readonly record: (applied: Applied, isLast: boolean) => void;
};

/** Disposing it waits for requests that are under way, and records nothing. */
export type Applier = AsyncDisposable & {
  /**
   * Applies winners in groups: while Chroma works on the vectors of some, the next is made ready. What a group is about has nothing to do
   * with the groups beside it. When this resolves the last groups may still be under way: they are finished by later calls, or by `finish`.
   */
  apply(options: ApplyOptions): Promise<void>;
  /** Waits for all that is under way, and records it. */
  finish(): Promise<void>;
  /** Whether something about the key is under way: nobody may decide about it before it is recorded. */
  isBusy(key: Key): boolean;
};

type Begun = { readonly group: Group; readonly finish: () => Promise<void> };

/**
 * While a replica is rebuilt, so many groups may be under way beside the one that is made ready. A server takes what came meanwhile
 * together, and answers all of it together: it needs the next requests before it has answered these.
 */
const GROUPS_UNDER_WAY_MAX = 2;

/** One for each step. */
export function createApplier(context: Context, signal: AbortSignal): Applier {
  const queue = openVectorQueue(context, signal);
  const begunMax = isBootstrapping(context.manifest) ? GROUPS_UNDER_WAY_MAX : 1;
  /** in the order in which they began and are recorded */
  const begun: Begun[] = [];
  const finishUntil = async (left: number): Promise<void> => {
    while (begun.length > left) {
      await begun[0]!.finish();
      begun.shift();
    }
  };
  return {
    finish: () => finishUntil(0),
    isBusy: (key) => begun.some(({ group }) => group.keys.has(key)),
    async apply({ winners, overruled, record }) {
      const embeddings = new Map<DocPath, Embedded>();
      const documents = new Map<DocPath, Uint8Array>();
      const winnerOf = new Map(winners.map((winner) => [winner.change.key, winner]));
      const shared = { context, winners: winnerOf, overruled, refused: new Map<Key, DocbusError>(), embeddings, documents };
      const isBusy = (path: DocPath): boolean => begun.some(({ group }) => group.paths.has(path));
      const groups = groupsOf(context, winners, { isBusy, isIdle: begun.length === 0 });
      for (const [i, group] of groups.entries()) {
        if (group.needsPrevious || begun.some((before) => before.group.isNeeded)) await finishUntil(0);
        const finishGroup = await beginGroup({ ...shared, group, marks: [] }, queue.group(), signal);
        begun.push({
          group,
          finish: async () => {
            record(await finishGroup(), i === groups.length - 1);
            for (const path of group.paths) {
              embeddings.delete(path);
              documents.delete(path);
            }
          },
        });
        await finishUntil(begunMax);
      }
    },
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  };
}

/** What it returns waits for the group's vectors and does the rest. */
async function beginGroup(work: Work, vectors: VectorGroup, signal: AbortSignal): Promise<() => Promise<Applied>> {
  const { context, group } = work;
  const { replica, manifest, state } = context;
  const byKind = (kind: string, changeState: Change['state']): Change[] =>
    group.winners.map(({ change }) => change).filter((change) => change.state === changeState && kindOf(change.key) === kind);

  checkEmbeddings(work, byKind('embedding', 'present'));
  const documents = checkDocuments(work);
  manifest.transaction(() => {
    for (const { change } of group.winners)
      if (!work.refused.has(change.key)) manifest.putIntent({ ...change, revision: change.version.revision });
  });

  for (const { path, bytes, hash } of documents) attemptKey(work, documentKey(path), () => writeDocument(work, path, bytes, hash));
  for (const change of byKind('workspace', 'present')) {
    await clearCollection(context, change.key, signal);
    writeWorkspace(work, change);
  }

  const keys = affectedMemberships(work);
  const finishMemberships = await beginMaterialise(context, keys, viewOf(work), vectors, signal);
  // While the vectors are on their way to Chroma is the cheapest moment to write the caches.
  await vectors.send();
  const cached = byKind('embedding', 'present').map(({ key }) => pathOf(key));
  for (const path of cached) writeCache(work, path);
  const onDisk = syncedFiles(context);
  onDisk.catch(() => {}); // thrown when it is awaited

  return async () => {
    const memberships = await finishMemberships();
    for (const [key, error] of memberships.refused) refuseEmbeddingOf(work, key, error);

    for (const change of byKind('embedding', 'deleted')) dropCache(work, pathOf(change.key));
    for (const { key } of byKind('workspace', 'deleted')) {
      const { slug } = parseKey(key) as { slug: Slug };
      keepOverruledWorkspace(work, key, slug);
      replica.records.removeWorkspace(slug);
      await replica.vectors.removeCollection(slug, signal);
    }
    for (const { key } of byKind('document', 'deleted')) removeDocument(work, pathOf(key));
    await onDisk;
    if (group.winners.some(({ change }) => change.state === 'deleted')) await syncedFiles(context);

    // What was seen before we wrote says nothing about what is there now.
    for (const key of [...group.winners.map(({ change }) => change.key), ...keys]) forget(context, key);
    if (group.winners.some(({ change }) => change.state === 'deleted')) state.dirty.records = true;
    return { winners: group.winners, refused: work.refused, memberships, marks: work.marks };
  };
}

async function syncedFiles({ replica: { documents, caches } }: Context): Promise<void> {
  await Promise.all([documents.synced(), caches.synced()]);
}

function forget({ state }: Context, key: Key): void {
  state.absentSince.delete(key);
  state.memberships.delete(key);
  const parsed = parseKey(key);
  if (parsed.kind === 'workspace') state.workspaces.delete(parsed.slug);
}

function pathOf(key: Key): DocPath {
  const path = pathIn(key);
  if (path === undefined) throw new Error(`${key} has no path`);
  return path;
}

/** Runs the work of one key; an error that only this change deserves refuses it. */
function attemptKey(work: Work, key: Key, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(isDocbusError(error) && error.remedy === 'quarantine')) throw error;
    work.refused.set(key, error);
  }
}

function unpack({ context }: Work, { change, packed }: Winner): Uint8Array {
  if (packed === undefined)
    throw new DocbusError('payload_corrupt', `${change.key} (${formatVersion(change.version)}) came without its content.`);
  return unpackPayload(packed, { hash: change.hash, bytesMax: context.settings.payloadBytesMax });
}

function checkEmbeddings(work: Work, changes: readonly Change[]): void {
  const { context, winners, embeddings } = work;
  for (const { key, hash, content, version } of changes)
    attemptKey(work, key, () => {
      const path = pathOf(key);
      const { fingerprint } = content as EmbeddingContent;
      checkFingerprint(context, key, version.replica, fingerprint);
      const embedding = decodeEmbedding(unpack(work, winners.get(key)!));
      if (embedding.dimensions !== fingerprint.dimensions || embedding.texts.length !== (content as EmbeddingContent).chunks)
        throw new DocbusError(
          'payload_corrupt',
          `${key}: the payload has ${embedding.texts.length} vectors of ${embedding.dimensions} dimensions, the change says otherwise.`,
        );
      const look = examineCache(context, path);
      embeddings.set(path, {
        hash,
        embedding,
        adopted: look.picture !== 'unsettled' && look.picture.state === 'present' && look.picture.hash === hash,
        cached: false,
      });
    });
}

/** Vectors of another engine, model or dimension make a collection useless. Chunk size and overlap travel too, but vectors cut otherwise live together well (as they do in AnythingLLM after a settings change). */
function checkFingerprint(
  { settings: { embedder }, manifest }: Context,
  key: Key,
  replica: string,
  { engine, model, dimensions }: EmbeddingContent['fingerprint'],
): void {
  const known = manifest.meta('dimensions');
  const mine = `${embedder.engine}/${embedder.model}${known === undefined ? '' : ` (${known} dimensions)`}`;
  if (engine === embedder.engine && model === embedder.model && (known === undefined || Number(known) === dimensions)) return;
  throw new DocbusError(
    'embedder_mismatch',
    `${key} was embedded on ${replica} with ${engine}/${model} (${dimensions} dimensions), this replica uses ${mine}. Set the same embedder everywhere (EMBEDDING_ENGINE, EMBEDDING_MODEL_PREF), then \`docbus quarantine retry\`.`,
  );
}

type DocumentWrite = { readonly path: DocPath; readonly bytes: Uint8Array; readonly hash: string };

/** Which documents are to be written. Keeps aside what gives way; throws `aborted` where an edit has to be published first. */
function checkDocuments(work: Work): readonly DocumentWrite[] {
  const writes: DocumentWrite[] = [];
  for (const winner of work.group.winners) {
    const parsed = parseKey(winner.change.key);
    if (parsed.kind !== 'document' || winner.change.state === 'deleted') continue;
    attemptKey(work, winner.change.key, () => {
      const bytes = unpack(work, winner);
      work.documents.set(parsed.path, bytes);
      const there = makeWay(work, winner.change.key, parsed.path, winner.change.hash);
      if (there?.hash === winner.change.hash) work.marks.push(...there.marks);
      else writes.push({ path: parsed.path, bytes, hash: winner.change.hash });
    });
  }
  return writes;
}

/** How long a half-written file may stand in the way of an incoming version. */
const UNSETTLED_PATIENCE = 10;

/** What is at the path, after making sure that writing or removing it loses nothing. */
function makeWay(
  { context, overruled }: Work,
  key: Key,
  path: DocPath,
  incoming: string | undefined,
): { readonly hash: string; readonly marks: readonly Mark[] } | undefined {
  const { manifest, clock, settings, state, conflicts } = context;
  const look = examineDocument(context, path);
  if (look.picture === 'unsettled') {
    const since = state.absentSince.get(key) ?? clock.now();
    state.absentSince.set(key, since);
    if (clock.now() - since < settings.settleMs * UNSETTLED_PATIENCE)
      throw new DocbusError('aborted', `${path} is being written here; waiting for it before applying a change of it.`);
    return undefined; // it has not become JSON: nothing that AnythingLLM could use is lost
  }
  if (look.picture.state === 'absent') return undefined;
  // The copy on disk is what is being applied: adopted, no conflict.
  if (look.edit === 'put' && look.picture.hash !== incoming) {
    if (!mayOverrule({ context, overruled }, key))
      throw new DocbusError('aborted', `${path} was changed here and not yet published; publishing it first.`);
    if (look.value !== undefined)
      recordOverruled(context, key, conflicts.save(key, `local-${look.picture.hash.slice(0, 12)}`, look.value), manifest.entry(key));
  }
  return { hash: look.picture.hash, marks: look.marks };
}

function recordOverruled({ manifest, clock, logger, settings }: Context, key: Key, file: string, known: Recorded | undefined): void {
  const loser = `local@${settings.replicaId}`;
  const winner = known === undefined ? 'log' : formatVersion(known.version);
  if (manifest.putConflict({ id: conflictId(key, file), key, winner, loser, file, time: clock.now() }))
    logger.warn({ key, file }, 'the log has another version of what only this replica had; its own copy is kept');
}

function writeDocument(work: Work, path: DocPath, bytes: Uint8Array, hash: string): void {
  const { replica } = work.context;
  replica.documents.write(path, bytes);
  const signature = replica.documents.signature(path);
  if (signature !== undefined) work.marks.push({ place: 'document', path, mark: { signature, hash } });
  if (work.embeddings.has(path)) return;
  dropStaleCache(work, path, bytes);
  if (!work.winners.has(embeddingKey(path))) cacheEarlier(work, path, hash);
}

/** An embedding that came before its document could not be cached then; without a cache the next embed here would embed anew. */
function cacheEarlier({ context, marks }: Work, path: DocPath, hash: string): void {
  const { manifest, replica } = context;
  const entry = manifest.entry(embeddingKey(path));
  if (entry?.state !== 'present' || (entry.content as EmbeddingContent).documentHash !== hash) return;
  const recorded = recordedEmbedding(context, path);
  if (typeof recorded === 'string' || replica.caches.signature(path) !== undefined) return;
  replica.caches.write(path, recorded.load(), vectorIdsOf(path, recorded.hash, recorded.chunks));
  const signature = replica.caches.signature(path);
  if (signature !== undefined) marks.push({ place: 'cache', path, mark: { signature, hash: recorded.hash } });
}

/** A cache made from an earlier content would be used unseen by the next embed here (AnythingLLM keys it by path). */
function dropStaleCache(work: Work, path: DocPath, document: Uint8Array): void {
  const { replica } = work.context;
  if (replica.caches.signature(path) === undefined) return;
  const cache = replica.caches.read(path);
  if (cache.type === 'read' && chunksComeFrom(cache.value.texts, document)) return;
  dropCache(work, path);
}

function dropCache({ context, marks }: Work, path: DocPath): void {
  context.replica.caches.remove(path);
  marks.push({ place: 'cache', path, mark: undefined });
}

/** Once per path; the document must be there, a cache without one is an orphan. */
function writeCache(work: Work, path: DocPath): void {
  const { replica } = work.context;
  const embedded = work.embeddings.get(path);
  if (embedded === undefined || embedded.cached) return;
  embedded.cached = true;
  if (!embedded.adopted && replica.documents.signature(path) !== undefined && !work.refused.has(embeddingKey(path)))
    replica.caches.write(path, embedded.embedding, vectorIdsOf(path, embedded.hash, embedded.embedding.texts.length));
  const signature = replica.caches.signature(path);
  if (signature !== undefined) work.marks.push({ place: 'cache', path, mark: { signature, hash: embedded.hash } });
}

/**
 * A workspace that is not here yet starts with an empty collection. One that lies there all the same is what a deletion left that
 * AnythingLLM did not finish (it drops the collection last), and its vectors are in no row: nobody could ever remove them.
 */
export async function clearCollection({ replica: { records, vectors } }: Context, key: Key, signal: AbortSignal): Promise<void> {
  const { slug } = parseKey(key) as { slug: Slug };
  if (records.workspace(slug) !== undefined) return;
  const name = collectionName(slug);
  if (records.workspaces().some((other) => collectionName(other.slug) === name)) return; // two slugs may share one
  await vectors.removeCollection(slug, signal);
}

function writeWorkspace(work: Work, change: Change): void {
  const { context } = work;
  const { slug } = parseKey(change.key) as { slug: Slug };
  const content = change.content as WorkspaceContent;
  const current = context.replica.records.workspace(slug);
  if (current !== undefined && examineContent(context.manifest, change.key, current).edit === 'put') {
    if (!mayOverrule(work, change.key))
      throw new DocbusError('aborted', `The workspace ${slug} was changed here and not yet published; publishing it first.`);
    keepContent(work, change.key, current);
  }
  context.replica.records.putWorkspace(slug, content);
}

function keepOverruledWorkspace(work: Work, key: Key, slug: Slug): void {
  const current = work.context.replica.records.workspace(slug);
  if (current !== undefined && examineContent(work.context.manifest, key, current).edit === 'put') keepContent(work, key, current);
}

function mayOverrule({ context: { manifest }, overruled }: Pick<Work, 'context' | 'overruled'>, key: Key): boolean {
  return overruled.has(key) || (isBootstrapping(manifest) && manifest.entry(key) === undefined);
}

function keepContent({ context }: Work, key: Key, content: object): void {
  const text = JSON.stringify(content, null, 2);
  recordOverruled(context, key, context.conflicts.save(key, 'local', new TextEncoder().encode(text)), context.manifest.entry(key));
}

function removeDocument(work: Work, path: DocPath): void {
  const { replica } = work.context;
  makeWay(work, documentKey(path), path, undefined);
  dropCache(work, path);
  replica.documents.remove(path);
  work.marks.push({ place: 'document', path, mark: undefined });
}

/** The memberships named in the batch, and those that wait for, or hang on, something in it. */
function affectedMemberships(work: Work): readonly Key[] {
  const { context, winners, refused, group } = work;
  const { manifest, replica } = context;
  const keys = new Set<Key>();
  const rowPaths = new Set<DocPath>();
  const held = new Set(manifest.held().map(({ key }) => key));
  const isOfAnotherGroup = (key: Key): boolean => {
    const path = pathOf(key);
    return [key, documentKey(path), embeddingKey(path)].some((needed) => winners.has(needed) && !group.keys.has(needed));
  };
  const waiting = (recorded: readonly Recorded[]): void => {
    for (const { key, state, applied } of recorded)
      if (state === 'present' && !applied && !held.has(key) && !isOfAnotherGroup(key)) keys.add(key);
  };
  for (const { change } of group.winners) {
    if (refused.has(change.key)) continue;
    const parsed = parseKey(change.key);
    switch (parsed.kind) {
      case 'membership':
        keys.add(change.key);
        break;
      case 'workspace':
        if (change.state === 'present') waiting(manifest.membershipsIn(parsed.slug));
        else for (const { slug, path } of replica.records.membershipsIn(parsed.slug)) keys.add(membershipKey(slug, path));
        break;
      case 'document':
      case 'embedding':
        waiting(manifest.membershipsOf(parsed.path));
        rowPaths.add(parsed.path);
        break;
    }
  }
  if (rowPaths.size > 0)
    for (const { slug, path } of replica.records.membershipsOf([...rowPaths])) {
      const key = membershipKey(slug, path);
      if (
        !held.has(key) &&
        (keys.has(key) || manifest.entry(key) !== undefined || winners.get(documentKey(path))?.change.state === 'deleted')
      )
        keys.add(key);
    }
  return [...keys];
}

/** The manifest as it will be once this batch is recorded. */
function viewOf(work: Work): View {
  const { context, winners, refused, embeddings, documents } = work;
  const entry = (key: Key): Recorded | undefined => {
    const winner = refused.has(key) ? undefined : winners.get(key);
    return winner === undefined ? context.manifest.entry(key) : { ...winner.change, applied: true, logged: true };
  };
  return {
    entry,
    embedding: (path) => {
      const key = embeddingKey(path);
      const winner = winners.get(key);
      if (refused.has(key)) return 'blocked';
      if (winner === undefined) return recordedEmbedding(context, path);
      if (winner.change.state === 'deleted') return 'deleted';
      const embedded = embeddings.get(path);
      // Its group is recorded already.
      if (embedded === undefined) return recordedEmbedding(context, path);
      const { hash, embedding } = embedded;
      return { hash, chunks: embedding.texts.length, load: () => embedding };
    },
    document: (path) => documents.get(path),
    adopted: (path) => embeddings.get(path)?.adopted === true,
    asked: (key) => winners.has(key),
    overrule: (key, copies) => {
      const doomed = winners.get(key)?.change.state === 'deleted';
      if (!mayOverrule(work, key) && !doomed) return false;
      keepContent(work, key, { copies } satisfies MembershipContent);
      return true;
    },
  };
}

/** The server will never take these vectors: it is their embedding that is wrong, and every membership of it waits. */
function refuseEmbeddingOf(work: Work, key: Key, error: DocbusError): void {
  const path = pathOf(key);
  work.refused.set(embeddingKey(path), error);
  work.embeddings.delete(path);
}
