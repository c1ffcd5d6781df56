// What people ask of an agent: held deletions put back, quarantined changes tried again, conflicts dismissed.
import { documentKey, embeddingKey, kindOf, parseKey, sameVersion, workspaceKey, type DocPath, type Key } from '@docbus/core';
import type { Conflict } from '@docbus/replica/manifest.ts';
import { createApplier, type Applied } from './apply.ts';
import { writeMarks, type Context } from './context.ts';
import type { Winner } from './groups.ts';
import { quarantineOf } from './incoming.ts';
import { recordFills } from './materialise.ts';
import { entryOf, learnDimensions, storePayload } from './publish.ts';
import { requirePlaces } from './places.ts';
import { recordedPayload } from './recorded.ts';
import { startOver } from './start-over.ts';

/** Ids of records that could not be read, and so have no change. */
export function unreadable({ manifest }: Context, ids: ReadonlySet<string> | undefined): readonly string[] {
  return manifest.quarantined().flatMap(({ id, change }) => (change === null && (ids === undefined || ids.has(id)) ? [id] : []));
}

export function dismissConflicts({ manifest, conflicts }: Context, ids: ReadonlySet<string> | undefined, withFiles: boolean): number {
  const all = manifest.conflicts();
  const isChosen = ({ id }: Conflict): boolean => ids === undefined || ids.has(id);
  const chosen = all.filter(isChosen);
  const stillNamed = new Set(all.filter((conflict) => !isChosen(conflict)).map(({ file }) => file));
  // Files first: what is still listed can be dismissed again, a file that nothing names is there for good.
  if (withFiles) for (const { file } of chosen) if (file !== null && !stillNamed.has(file)) conflicts.remove(file);
  manifest.transaction(() => chosen.forEach(({ id }) => manifest.dismissConflict(id)));
  return chosen.length;
}

/**
 * Lets held deletions be published. A document that a workspace still holds is passed over: it is deleted only when no row holds it any
 * more, and an approval that waits for that would be forgotten by everybody but the agent.
 */
export function approveDeletions({ manifest, replica }: Context, keys: ReadonlySet<Key> | undefined): number {
  const chosen = manifest.held().filter((held) => keys === undefined || keys.has(held.key));
  const paths = chosen.flatMap(({ key }) => pathsOfDocument(key));
  const embedded = new Set<Key>(replica.records.membershipsOf(paths).map(({ path }) => documentKey(path)));
  const approved = chosen.filter(({ key }) => !embedded.has(key));
  manifest.transaction(() => approved.forEach((held) => manifest.putHeld({ ...held, approved: true })));
  return approved.length;
}

function pathsOfDocument(key: Key): readonly DocPath[] {
  const parsed = parseKey(key);
  return parsed.kind === 'document' ? [parsed.path] : [];
}

/** Applies recorded entries again, as if they came from the log. */
export async function revertDeletions(context: Context, keys: ReadonlySet<Key> | undefined, signal: AbortSignal): Promise<number> {
  const { manifest, state } = context;
  const held = manifest.held().map(({ key }) => key);
  // A single file that went is held only after a while; whoever names it need not wait.
  const chosen =
    keys === undefined ? held : [...new Set([...held, ...[...state.stillEmbedded.keys()].map(documentKey)])].filter((key) => keys.has(key));
  const again = new Set<Key>();
  for (const key of chosen) {
    again.add(key);
    const parsed = parseKey(key);
    // The embedding of a document went with its file, and a membership cannot come back without its workspace.
    if (parsed.kind === 'document') again.add(embeddingKey(parsed.path));
    if (parsed.kind === 'workspace') for (const membership of manifest.membershipsIn(parsed.slug)) again.add(membership.key);
    if (parsed.kind === 'membership') for (const needed of [workspaceKey(parsed.slug), documentKey(parsed.path)]) again.add(needed);
  }
  const winners: Winner[] = [];
  for (const key of again) {
    const entry = manifest.entry(key);
    if (entry?.state !== 'present' || entry.content === null) continue;
    // A copy that is damaged must neither be written nor be quarantined: the log has a whole one.
    if (kindOf(key) === 'document' || kindOf(key) === 'embedding') recordedPayload(context, entry);
    winners.push({
      change: { ...entry, state: 'present', content: entry.content, instance: manifest.instance },
      packed: manifest.payload(key)?.packed,
    });
  }
  manifest.transaction(() => chosen.forEach((key) => manifest.dropHeld(key)));
  await applyAndRecord(context, winners, signal);
  // The reset has been answered: what happened before now is not a reason to hold anything later.
  context.state.dirty.records = true;
  return chosen.length;
}

export async function retryQuarantined(context: Context, ids: ReadonlySet<string> | undefined, signal: AbortSignal): Promise<number> {
  const { manifest } = context;
  const chosen = manifest.quarantined().filter(({ id, change }) => change !== null && (ids === undefined || ids.has(id)));
  const winners: Winner[] = chosen.flatMap(({ id }) => {
    const item = manifest.quarantinedById(id);
    return item?.change === null || item?.change === undefined ? [] : [{ change: item.change, packed: item.packed }];
  });
  // Where the embedder was changed on purpose, the dimensions learnt from the old one are no reason to refuse.
  if (chosen.some(({ code }) => code === 'embedder_mismatch') && manifest.counts().embedding.present === 0)
    manifest.setMeta('dimensions', undefined);
  const refused = await applyAndRecord(context, winners, signal);
  // Alone they would lack their parts and their place in the order: they are met again where they stand.
  const again = unreadable(context, ids);
  manifest.transaction(() => again.forEach((id) => manifest.dropQuarantine(id)));
  if (again.length > 0) startOver(context, 'asked');
  return winners.length - refused + again.length;
}

async function applyAndRecord(context: Context, winners: readonly Winner[], signal: AbortSignal): Promise<number> {
  const { manifest } = context;
  let refusals = 0;
  if (winners.length > 0) requirePlaces(context, { emptied: true });
  const record = ({ winners: some, refused, memberships, marks }: Applied): void => {
    requirePlaces(context, { emptied: true });
    manifest.transaction(() => {
      for (const { change, packed } of some) {
        manifest.dropIntents(change.key);
        const refusal = refused.get(change.key);
        const waiting = manifest
          .quarantinedOf(change.key)
          .find((item) => item.change !== null && sameVersion(item.change.version, change.version));
        if (refusal !== undefined) {
          refusals += 1;
          manifest.putQuarantine({ ...quarantineOf(context, { change, packed }, refusal), logged: waiting?.logged ?? true });
          continue;
        }
        for (const { id } of manifest.quarantinedOf(change.key)) manifest.dropQuarantine(id);
        manifest.record({
          ...entryOf(change),
          applied: kindOf(change.key) !== 'membership',
          logged: waiting?.logged ?? manifest.entry(change.key)?.logged ?? true,
        });
        storePayload(context, change, packed);
        learnDimensions(context, change, false);
      }
      for (const [key, done] of memberships.applied) manifest.setApplied(key, done);
      recordFills(manifest, memberships);
      writeMarks(manifest, marks);
    });
  };
  await using applier = createApplier(context, signal);
  await applier.apply({ winners, overruled: new Set(), restores: true, record });
  await applier.finish();
  return refusals;
}
