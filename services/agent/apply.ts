// apply makes the winners of a batch true on this replica: files, caches, rows, vectors. Effects first, memory second: nothing is
// recorded here but intents, so a crash anywhere is followed by the same work again. One bad change refuses itself, not the batch.
// It goes in groups, so that Chroma works on the vectors of one while the next is made ready.
import {
  documentKey,
  embeddingKey,
  kindOf,
  parseKey,
  type Change,
  type DocbusError,
  type DocPath,
  type Key,
  type Slug,
} from '@docbus/core';
import { checkDocuments, checkEmbeddings } from './apply-checks.ts';
import { dropCache, removeDocument, syncedFiles, writeCache, writeDocument } from './apply-files.ts';
import { affectedMemberships, viewOf } from './apply-view.ts';
import { attemptKey, pathOf, type Embedded, type Work } from './apply-work.ts';
import { clearCollection, dropCollectionFirst, keepLateRows, keepOverruledWorkspace, writeWorkspace } from './apply-workspaces.ts';
import { isBootstrapping, type Context, type Mark } from './context.ts';
import { groupsOf, type Group, type Winner } from './groups.ts';
import { markLanded, wasRemovedHere } from './landed.ts';
import { beginMaterialise, openVectorQueue, type Materialised } from './materialise.ts';
import { requirePlaces } from './places.ts';
import { revivalsOf } from './revive.ts';
import type { VectorGroup } from './vector-queue.ts';

/** What came of a group of winners, to be recorded with them. */
export type Applied = {
  readonly winners: readonly Winner[];
  readonly refused: ReadonlyMap<Key, DocbusError>;
  readonly memberships: Materialised;
  readonly marks: readonly Mark[];
};

export type ApplyOptions = {
  /** one per key */
  readonly winners: readonly Winner[];
  /** local edits that could not be published and give way; their content is kept under conflicts */
  readonly overruled: ReadonlySet<Key>;
  /** documents/ may be gone, and is made again: what is applied brings its documents back */
  readonly restores?: boolean;
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
 * As much as so many full groups may be under way beside the one that is made ready. A server takes what came meanwhile together, and
 * answers all of it together: while a replica is rebuilt, the next requests are ready before it has answered these.
 */
const LOAD_MAX = { following: 1, bootstrapping: 3 };

/** One for each step. */
export function createApplier(context: Context, signal: AbortSignal): Applier {
  const queue = openVectorQueue(context, signal);
  const loadMax = isBootstrapping(context.manifest) ? LOAD_MAX.bootstrapping : LOAD_MAX.following;
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
    async apply({ winners, overruled, restores = false, record }) {
      const embeddings = new Map<DocPath, Embedded>();
      const documents = new Map<DocPath, Uint8Array>();
      const winnerOf = new Map(winners.map((winner) => [winner.change.key, winner]));
      const emptied = restores || winners.some(({ change }) => change.state === 'deleted');
      const shared = { context, winners: winnerOf, overruled, refused: new Map<Key, DocbusError>(), embeddings, documents, emptied };
      const isBusy = (path: DocPath): boolean => begun.some(({ group }) => group.paths.has(path));
      const largestLoad = Math.max(0, ...begun.map(({ group }) => group.load));
      const groups = groupsOf(context, winners, { isBusy, largestLoad });
      for (const [i, group] of groups.entries()) {
        if (group.needsPrevious || begun.some((before) => before.group.isNeeded)) await finishUntil(0);
        // What is under way about the same paths is in the groups that began first, or in none.
        await finishUntil(begun.length - 1 - begun.findLastIndex((before) => !before.group.paths.isDisjointFrom(group.paths)));
        await context.clock.breathe();
        const finishGroup = await beginGroup(
          { ...shared, group, revived: revivedBy(context, group.winners, winners), marks: [] },
          queue.group(),
          signal,
        );
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
        while (begun.length > 1 && begun.reduce((sum, { group: { load } }) => sum + load, 0) > loadMax) await finishUntil(begun.length - 1);
      }
    },
    [Symbol.asyncDispose]: () => queue[Symbol.asyncDispose](),
  };
}

/** What it returns waits for the group's vectors and does the rest. */
async function beginGroup(work: Work, vectors: VectorGroup, signal: AbortSignal): Promise<() => Promise<Applied>> {
  const { context, group } = work;
  const { replica, manifest, state, clock } = context;
  const byKind = (kind: string, changeState: Change['state']): Change[] =>
    group.winners.map(({ change }) => change).filter((change) => change.state === changeState && kindOf(change.key) === kind);

  await checkEmbeddings(work, byKind('embedding', 'present'));
  const documents = checkDocuments(work);
  manifest.transaction(() => {
    for (const { change } of group.winners)
      if (!work.refused.has(change.key)) manifest.putIntent({ ...change, revision: change.version.revision });
  });

  // Until they are written nothing else happens: in a folder that went away meanwhile they would stand for all documents.
  if (documents.writes.length > 0) requirePlaces(context, work);
  for (const { path, bytes, hash } of documents.writes) attemptKey(work, documentKey(path), () => writeDocument(work, path, bytes, hash));
  const here = documents.here.filter(({ key }) => !work.refused.has(key));
  if (here.length > 0 && !isBootstrapping(manifest)) {
    await replica.documents.synced();
    markLanded(context, here, work);
  }
  for (const change of byKind('workspace', 'present')) {
    const { slug } = parseKey(change.key) as { slug: Slug };
    if (replica.records.workspace(slug) === undefined && wasRemovedHere(manifest, change)) {
      state.dirty.records = true;
      continue;
    }
    await clearCollection(context, change.key, signal);
    writeWorkspace(work, change);
    markLanded(context, [change], { emptied: true });
  }

  const keys = affectedMemberships(work);
  const finishMemberships = await beginMaterialise(context, keys, viewOf(work), vectors, signal);
  // While the vectors are on their way to Chroma is the cheapest moment to write the caches.
  await vectors.send();
  const cached = byKind('embedding', 'present').map(({ key }) => pathOf(key));
  for (const path of cached) {
    await clock.breathe();
    writeCache(work, path);
  }
  // Beside the requests of a rebuild; otherwise after them: a disk that is asked to flush holds up the server, and people wait for that.
  const onDisk = isBootstrapping(manifest) ? syncedFiles(context) : undefined;
  onDisk?.catch(() => {}); // thrown when it is awaited

  const removed = byKind('workspace', 'deleted').map(({ key }) => parseKey(key) as { key: Key; slug: Slug });
  return async () => {
    for (const { slug } of removed) await dropCollectionFirst(context, slug, signal);
    const memberships = await finishMemberships();
    for (const [key, error] of memberships.refused) refuseEmbeddingOf(work, key, error);

    for (const { key } of byKind('embedding', 'deleted')) if (!work.revived.has(key)) dropCache(work, pathOf(key));
    for (const { key, slug } of removed) {
      keepOverruledWorkspace(work, key, slug);
      keepLateRows(work, slug);
      replica.records.removeWorkspace(slug);
      await replica.vectors.removeCollection(slug, signal);
    }
    for (const { key } of byKind('document', 'deleted')) attemptKey(work, key, () => removeDocument(work, pathOf(key)));
    await onDisk;
    if (onDisk === undefined || group.winners.some(({ change }) => change.state === 'deleted')) await syncedFiles(context);

    // What was seen before we wrote says nothing about what is there now.
    for (const key of [...group.winners.map(({ change }) => change.key), ...keys]) forget(context, key);
    if (group.winners.some(({ change }) => change.state === 'deleted')) state.dirty.records = true;
    return { winners: group.winners, refused: work.refused, memberships, marks: work.marks };
  };
}

function revivedBy(context: Context, winners: readonly Winner[], all: readonly Winner[]): ReadonlySet<Key> {
  return new Set(revivalsOf(context, winners, all).map(({ change }) => change.key));
}

function forget({ state }: Context, key: Key): void {
  state.absentSince.delete(key);
  state.memberships.delete(key);
  const parsed = parseKey(key);
  if (parsed.kind === 'workspace') state.workspaces.delete(parsed.slug);
}

/** The server will never take these vectors: it is their embedding that is wrong, and every membership of it waits. */
function refuseEmbeddingOf(work: Work, key: Key, error: DocbusError): void {
  const path = pathOf(key);
  work.refused.set(embeddingKey(path), error);
  // A cache of ours would look like an edit. AnythingLLM's own is one.
  if (work.embeddings.get(path)?.adopted === false) dropCache(work, path);
  work.embeddings.delete(path);
}
