// materialise makes the rows and vectors of memberships what is recorded (or about to be). It is level-triggered: it looks at
// what is there and does what is missing, so it may be repeated and may die anywhere. The order keeps ghosts impossible:
// an id is in document_vectors before its vector is in Chroma and until its vector is gone, so AnythingLLM can always remove it.
import {
  DocbusError,
  embeddingKey,
  membershipKey,
  parseKey,
  workspaceKey,
  type DocPath,
  type Embedding,
  type EmbeddingContent,
  type Key,
  type Slug,
} from '@docbus/core';
import { idsHashOf, type Fill } from '@docbus/replica/manifest.ts';
import type { MembershipWrite } from '@docbus/replica/port.ts';
import { isBootstrapping, requestMaterialise, type Context } from './context.ts';
import { noteFresh } from './fresh-fills.ts';
import { quarantineOf } from './incoming.ts';
import { markRows } from './landed.ts';
import { metadataFor, planTasks, sameCopies, type Task, type View } from './plan-memberships.ts';
import { recordedEmbedding, type WantedEmbedding } from './recorded.ts';
import { isOurs, vectorIdsOf } from './vector-ids.ts';
import { createVectorQueue, type VectorGroup, type VectorQueue, type VectorWork } from './vector-queue.ts';

/** To be recorded by the caller, with everything else of its step. */
export type Materialised = {
  readonly applied: ReadonlyMap<Key, boolean>;
  /** memberships whose document or workspace somebody removed here a moment ago: to be looked at again until that is published, or undone */
  readonly waiting: readonly Key[];
  readonly fills: readonly Fill[];
  readonly dropFills: readonly string[];
  /** memberships whose vectors can never be taken; they are as if not applied */
  readonly refused: ReadonlyMap<Key, DocbusError>;
};

export function recordedView(context: Context): View {
  const { manifest } = context;
  return {
    entry: (key) => manifest.entry(key),
    embedding: (path) => recordedEmbedding(context, path),
    document: () => undefined,
    adopted: () => false,
    overrule: () => false,
    asked: () => false,
  };
}

/** Materialises recorded memberships and records that it did. */
export async function materialiseRecorded(context: Context, keys: readonly Key[], signal: AbortSignal): Promise<void> {
  const { manifest } = context;
  const result = await materialise(context, keys, recordedView(context), signal);
  manifest.transaction(() => {
    for (const [key, applied] of result.applied) {
      manifest.setApplied(key, applied);
      manifest.dropIntents(key);
    }
    for (const [key, error] of result.refused) {
      // Tried again when a person asks for it, or when the document is embedded anew.
      quarantineEmbedding(context, key, error);
      manifest.dropIntents(key);
    }
    recordFills(manifest, result);
  });
}

function quarantineEmbedding(context: Context, membership: Key, error: DocbusError): void {
  const { manifest, logger } = context;
  const parsed = parseKey(membership);
  const entry = parsed.kind === 'membership' ? manifest.entry(embeddingKey(parsed.path)) : undefined;
  if (entry?.state !== 'present' || entry.content === null) return;
  const { key, version, base, hash, content, time } = entry;
  const change = { key, version, base, state: 'present', hash, content, time, instance: manifest.instance } as const;
  manifest.putQuarantine({ ...quarantineOf(context, { change, packed: manifest.payload(key)?.packed }, error), logged: entry.logged });
  logger.warn({ key, code: error.code, reason: error.message }, 'quarantined a change');
}

/** What is known of a docId whose vectors are being removed: it holds nothing that anybody recorded, nor what a cache says. */
export function emptied(docId: string): Fill {
  return { docId, hash: '', idsHash: '' };
}

/** Inside the caller's transaction, after the entries. */
export function recordFills(manifest: Context['manifest'], { fills, dropFills, waiting }: Materialised): void {
  for (const docId of dropFills) manifest.dropFill(docId);
  for (const fill of fills) manifest.putFill(fill);
  for (const key of waiting) requestMaterialise(manifest, key);
}

/** Materialises some memberships and waits until it is done. */
async function materialise(context: Context, keys: readonly Key[], view: View, signal: AbortSignal): Promise<Materialised> {
  await using queue = openVectorQueue(context, signal);
  const finish = await beginMaterialise(context, keys, view, queue.group(), signal);
  return await finish();
}

/** One for each step. While a replica is rebuilt nobody's query waits behind its requests, so that the server may have the next ones at hand. */
export function openVectorQueue({ replica: { vectors, records }, manifest, settings }: Context, signal: AbortSignal): VectorQueue {
  const { vectorsPerRequest } = settings;
  return isBootstrapping(manifest)
    ? createVectorQueue({ vectors, records, vectorsPerRequest: vectorsPerRequest.bootstrapping, requestsMax: 2, signal })
    : createVectorQueue({ vectors, records, vectorsPerRequest: vectorsPerRequest.following, requestsMax: 1, signal });
}

/**
 * Sends the vectors of some memberships on their way; what it returns waits for them and then writes the rows. What is done in between
 * must concern other memberships. Both throw `aborted` where AnythingLLM wrote one of the rows in between: the next look publishes that edit first.
 */
export async function beginMaterialise(
  context: Context,
  keys: readonly Key[],
  view: View,
  vectors: VectorGroup,
  signal: AbortSignal,
): Promise<() => Promise<Materialised>> {
  const { replica, manifest } = context;
  const { records } = replica;
  const { tasks, waiting, removed } = planTasks(context, keys, view);
  const docIds = tasks.flatMap(({ current, target }) => [...current, ...target].map(({ docId }) => docId));
  const have = docIds.length === 0 ? new Map<string, readonly string[]>() : records.vectorIds([...new Set(docIds)]);

  const fills: Fill[] = [];
  const dropFills: string[] = [];

  const gone = tasks.flatMap(({ slug, path, current, target }) =>
    current.filter(({ docId }) => !target.some((copy) => copy.docId === docId)).map(({ docId }) => ({ slug, path, docId })),
  );
  // Where the workspace itself goes, its collection goes as a whole.
  const leaving = gone
    .filter(({ slug }) => view.entry(workspaceKey(slug))?.state !== 'deleted')
    .map(({ slug, path, docId }) => ({ slug, path, ids: [...new Set([...(have.get(docId) ?? []), ...ownIds(context, path, docId)])] }));
  // Before they go: where AnythingLLM changes the rows meanwhile and they stay, nobody must believe that their vectors did.
  for (const { docId } of gone) manifest.putFill(emptied(docId));
  await removeVectors(context, leaving, signal);
  const goneVectorIds = new Map(
    [...Map.groupBy(leaving, ({ slug, path }) => membershipKey(slug, path))].map(([key, all]) => [
      key,
      new Set(all.flatMap(({ ids }) => ids)),
    ]),
  );
  dropFills.push(...gone.map(({ docId }) => docId));

  const rows: (Omit<MembershipWrite, 'metadata'> & { readonly task: Task })[] = [];
  const stale: { readonly key: Key; readonly slug: Slug; readonly docId: string; readonly ids: readonly string[] }[] = [];
  const works: (Omit<VectorWork, 'embedding'> & { readonly key: Key; readonly path: DocPath; readonly wanted: WantedEmbedding })[] = [];
  for (const task of tasks) {
    const { key, slug, path, current, target } = task;
    const wanted = view.embedding(path);
    for (const { docId } of target) {
      const ids = have.get(docId) ?? [];
      if (typeof wanted === 'string') continue;
      const fill = manifest.fill(docId);
      // A reset removes the collection, too, and what it cannot remove it leaves: ids without a row of their document vouch for nothing.
      const isHere = current.some((copy) => copy.docId === docId);
      if (isHere && fill?.hash === wanted.hash && fill.idsHash === idsHashOf(ids)) continue;
      const wantedIds = vectorIdsOf(docId, wanted.hash, wanted.chunks);
      // Ids of our own making say nothing about the cache: they are there before their vectors are, and stay while others are on their way.
      if (isHere && fill === undefined && view.adopted(path) && ids.length === wanted.chunks && !ids.some(isOurs)) {
        fills.push({ docId, hash: wanted.hash, idsHash: idsHashOf(ids) });
        continue;
      }
      works.push({ key, slug, path, docId, wanted, ids: wantedIds });
      const fresh = new Set(wantedIds);
      stale.push({ key, slug, docId, ids: ids.filter((id) => !fresh.has(id)) });
      fills.push({ docId, hash: wanted.hash, idsHash: idsHashOf(wantedIds) });
    }
    rows.push({ task, slug, path, copies: target, expected: current, goneVectorIds: goneVectorIds.get(key) });
  }
  noteFresh(
    context,
    works.map(({ docId, key, wanted: { hash, chunks } }) => ({ docId, key, hash, chunks })),
  );
  let loaded: { readonly path: DocPath; readonly embedding: Embedding } | undefined;
  for (const { key, slug, path, docId, wanted, ids } of works) {
    // Tasks come sorted by path: one document's embedding is in memory at a time.
    if (loaded?.path !== path) loaded = { path, embedding: wanted.load() };
    await vectors.add({ key, slug, docId, ids, embedding: loaded.embedding });
  }

  return async () => {
    const writes = rows.map(({ task, ...row }) => ({ ...row, key: task.key, metadata: metadataFor(context, task, view) }));
    const applied = new Map<Key, boolean>();
    const refused = (await vectors.done()) as ReadonlyMap<Key, DocbusError>;
    // What the server refuses stays as it was: the earlier vectors keep their place, and of the refused ones nothing does.
    const isRefused = ({ key }: { readonly key: Key }): boolean => refused.has(key);
    const leftOver = works.filter(isRefused).map(({ slug, docId, ids }) => {
      const before = new Set(have.get(docId));
      return { slug, docId, ids: ids.filter((id) => !before.has(id)) };
    });
    const outdated = [...stale.filter((one) => !isRefused(one)), ...leftOver];
    await removeVectors(context, outdated, signal);
    records.removeVectorIds(outdated.flatMap(({ docId, ids }) => ids.map((vectorId) => ({ docId, vectorId }))));

    const unfilled = works.filter(isRefused).map(({ docId }) => docId);
    const accepted = writes.filter(({ key }) => !refused.has(key));
    const changed = accepted.filter(({ copies, expected }) => !sameCopies(copies, expected));
    withdraw(
      manifest,
      changed.filter(({ copies }) => copies.length === 0).map(({ key }) => key),
    );
    // Should a person turn a pin back before anybody looks, the sum over all pins would be what it was before we wrote.
    if (changed.some(({ copies, expected }) => [...copies, ...expected].some(({ pinned }) => pinned))) context.state.pins.mark = undefined;
    const refusals = new Map(
      (changed.length === 0 ? [] : records.setMemberships(changed)).map(({ slug, path, reason }) => [`${slug}/${path}`, reason]),
    );
    for (const { key, slug, path, copies } of accepted) {
      const reason = refusals.get(`${slug}/${path}`);
      if (reason === 'changed')
        throw new DocbusError(
          'aborted',
          `AnythingLLM changed the rows of ${path} in the workspace ${slug} at the same moment; looking again.`,
        );
      if (reason === 'docid_taken')
        context.logger.warn({ key }, 'a row of another document has the docId of this membership; it waits until that row is gone');
      // Rows that could not be written: their collection may be dropped before they can.
      if (reason !== undefined) unfilled.push(...copies.map(({ docId }) => docId));
      applied.set(key, reason === undefined && (copies.length > 0 || view.entry(key)?.state !== 'present'));
    }
    const here = accepted.filter(({ key, copies }) => copies.length > 0 && applied.get(key) === true);
    markRows(
      context,
      here.map(({ key }) => ({ key, hash: view.entry(key)?.hash ?? '', asked: view.asked(key) })),
    );
    for (const key of removed) applied.set(key, true);
    const kept = fills.filter(({ docId }) => !unfilled.includes(docId));
    return { applied, waiting, fills: kept, dropFills: [...dropFills, ...unfilled], refused };
  };
}

/**
 * Rows that are about to go are no longer said to be here. They may go with their document or workspace, while their own entry stays
 * present and no intent tells of it: should we die before that is recorded, their absence must not look like somebody's edit.
 */
function withdraw(manifest: Context['manifest'], keys: readonly Key[]): void {
  if (keys.length === 0) return;
  manifest.transaction(() => {
    for (const key of keys) {
      manifest.setApplied(key, false);
      manifest.dropLanded(key);
    }
  });
}

/** The ids that we gave the vectors of a docId: also where AnythingLLM died between removing their rows and removing them from Chroma. */
function ownIds({ manifest }: Context, path: DocPath, docId: string): readonly string[] {
  const entry = manifest.entry(embeddingKey(path));
  const fill = manifest.fill(docId);
  // '': an earlier try may have ended before it removed them.
  if (entry?.state !== 'present' || (fill?.hash !== entry.hash && fill?.hash !== '')) return [];
  return vectorIdsOf(docId, entry.hash, (entry.content as EmbeddingContent).chunks);
}

const IDS_PER_REMOVAL = 1000;

async function removeVectors(
  { replica: { vectors } }: Context,
  removals: readonly { readonly slug: Slug; readonly ids: readonly string[] }[],
  signal: AbortSignal,
): Promise<void> {
  for (const [slug, group] of Map.groupBy(removals, (removal) => removal.slug)) {
    const ids = group.flatMap((removal) => removal.ids);
    for (let i = 0; i < ids.length; i += IDS_PER_REMOVAL) await vectors.remove(slug, ids.slice(i, i + IDS_PER_REMOVAL), signal);
  }
}
