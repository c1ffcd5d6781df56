// consume: log vs manifest -> disk. Reads a bounded batch, merges it, applies the winners, and records entries and checkpoint in
// transactions as soon as they are true here. Dying anywhere before that repeats the batch.
import {
  compareStamp,
  DocbusError,
  formatVersion,
  isConflict,
  kindOf,
  merge,
  stampOf,
  isDocbusError,
  type Change,
  type Key,
} from '@docbus/core';
import { unpackPayload } from '@docbus/log';
import type { Position } from '@docbus/log/port.ts';
import type { Recorded } from '@docbus/replica/manifest.ts';
import { createApplier, type Applied, type Applier } from './apply.ts';
import { collectPuts } from './collect.ts';
import { conflictId } from './conflict-files.ts';
import { pathIn, type Winner } from './groups.ts';
import { relevantEdits } from './local-edits.ts';
import { isBootstrapping, writeMarks, type Context } from './context.ts';
import { completeLate } from './late-parts.ts';
import { quarantineOf, readBatch, type Batch, type Incoming } from './incoming.ts';
import { recordFills } from './materialise.ts';
import { countTrial, endTrial } from './secrets.ts';
import { requirePlaces } from './places.ts';
import { revivalsOf } from './revive.ts';
import { missSent } from './sent.ts';
import { checkFormer } from './start-over.ts';
import { clearStrays } from './strays.ts';
import { markDirty } from './survey.ts';
import { entryOf, flushOutbox, learnDimensions, publishDrafts, storePayload, type StepResult } from './publish.ts';

const FIRST_RECORDS = 500;

/** While a replica is rebuilt, one step takes so many batches: each is read and merged while Chroma works on the one before. */
const REBUILD_BATCHES_MAX = 8;

/** Applies a batch, or a few of them. `more`: there was something, so there may be more. */
export async function consumeOnce(context: Context, signal: AbortSignal): Promise<StepResult> {
  const { manifest, log, settings, state } = context;
  if (manifest.outbox().length > 0) await flushOutbox(context, signal);
  await clearStrays(context, signal);
  await using applier = createApplier(context, signal);
  let position = manifest.meta('checkpoint') as Position | undefined;
  // Without a checkpoint nothing else would tell that the log was made anew since it was last read.
  if (position === undefined) await meetLog(context, signal);
  const recordsMax = settings.readRecordsMax;
  // The sooner a replica that is rebuilt has its first few documents, the sooner Chroma begins.
  let growing = position === undefined ? FIRST_RECORDS : recordsMax;
  let parts: Batch['parts'] = [];
  for (let batches = 1; ; batches++) {
    const records = await log.read(position, { recordsMax: Math.min(growing, recordsMax), bytesMax: settings.readBytesMax }, signal);
    growing *= 2;
    const last = records.at(-1);
    if (last === undefined) {
      if (batches > 1) break;
      await checkFormer(context, signal);
      const isNew = !context.state.atEnd;
      reachEnd(context);
      // Only now: an edit that stands in its way can be published from here on.
      context.state.atEnd = !isNew;
      if (isNew) await completeLate(context, signal);
      context.state.atEnd = true;
      return { more: false, wakeAt: undefined };
    }
    state.atEnd = false;
    // Nothing was ever read, so what was appended may have gone into a log that was made anew since: each has to be met in this one.
    if (position === undefined && manifest.meta('read') === undefined && manifest.hasLogged()) manifest.setAllLogged(false);
    const batch = readBatch(context, records, parts);
    if (batch.incoming.some(({ change }) => applier.isBusy(change.key))) await applier.finish();
    refuseDouble(context, batch);
    const unpublished = await publishLocalEdits(context, batch, applier, signal);
    if (unpublished === 'published') break;
    const more = isBootstrapping(manifest) && batches < REBUILD_BATCHES_MAX;
    await applyBatch(context, { batch, after: position, position: last.position, unpublished }, applier);
    if (!more) break;
    position = last.position;
    parts = batch.parts;
  }
  await applier.finish();
  // Showing our checkpoint to the product's tools is a courtesy; losing it loses nothing, but an error of the log is still an error.
  const checkpoint = manifest.meta('checkpoint') as Position | undefined;
  if (checkpoint !== undefined) await log.report(checkpoint, signal);
  return { more: true, wakeAt: undefined };
}

type BatchToApply = {
  readonly batch: Batch;
  readonly after: Position | undefined;
  readonly position: Position;
  readonly unpublished: ReadonlySet<Key>;
};

/** The end of it may still be under way when this resolves. */
async function applyBatch(context: Context, { batch, after, position, unpublished }: BatchToApply, applier: Applier): Promise<void> {
  const { manifest, logger } = context;
  const merged = mergeBatch(context, batch);
  if (merged.winners.length > 0) requirePlaces(context);
  const emptied = merged.winners.some(({ change }) => change.state === 'deleted');
  const record = (applied: Applied, isLast: boolean): void => {
    if (merged.winners.length > 0) requirePlaces(context, { emptied });
    manifest.transaction(() => {
      const revivals = revivalsOf(context, applied.winners, merged.winners);
      recordApplied(context, applied);
      manifest.putOutbox(revivals);
      if (!isLast) return;
      for (const [key, logged] of merged.logged) manifest.setLogged(key, logged);
      for (const item of [...batch.quarantine, ...merged.quarantine]) manifest.putQuarantine(item);
      for (const key of batch.usedParts) manifest.dropParts(key);
      for (const { key, hash, index, bytes } of batch.parts) manifest.putPart(key, hash, index, bytes);
      countTrial(context, batch);
      manifest.setMeta('checkpoint', position);
      if (after === undefined) manifest.setMeta('read', 'yes');
    });
    if (!isLast) return;
    for (const { code, message } of [...batch.quarantine, ...merged.quarantine])
      logger.warn({ code, reason: message }, 'quarantined a record');
    logger.debug({ changes: batch.incoming.length, applied: merged.winners.length }, 'consumed');
  };
  // Before it is written over: a person may edit what stands there instead before any of this is recorded, and then nobody would know it.
  if (merged.conflicts.length > 0) manifest.transaction(() => merged.conflicts.forEach((conflict) => conflict()));
  await applier.apply({ winners: merged.winners, overruled: unpublished, record });
}

/** Inside the caller's transaction. A group is recorded before the checkpoint is: whoever dies in between meets changes that he knows. */
function recordApplied(context: Context, { winners, refused, memberships, marks }: Applied): void {
  const { manifest, logger } = context;
  for (const { change, packed } of winners) {
    const refusal = refused.get(change.key);
    for (const { id } of manifest.quarantinedOf(change.key)) manifest.dropQuarantine(id);
    manifest.dropIntents(change.key);
    if (refusal !== undefined) {
      manifest.putQuarantine(quarantineOf(context, { change, packed }, refusal));
      logger.warn({ key: change.key, code: refusal.code, reason: refusal.message }, 'quarantined a change');
      continue;
    }
    manifest.record({ ...entryOf(change), applied: kindOf(change.key) !== 'membership', logged: true });
    storePayload(context, change, packed);
    learnDimensions(context, change, false);
    manifest.dropHeld(change.key);
  }
  for (const [key, done] of memberships.applied) manifest.setApplied(key, done);
  recordFills(manifest, memberships);
  writeMarks(manifest, marks);
}

/** Another log than the one that was read before holds nothing of what we know until it is met there. */
async function meetLog({ log, manifest, state }: Context, signal: AbortSignal): Promise<void> {
  const identity = await log.identity(signal);
  const known = manifest.meta('log');
  if (known === identity) return;
  state.caughtUp = false;
  manifest.transaction(() => {
    if (known !== undefined) manifest.setAllLogged(false);
    manifest.setMeta('log', identity);
  });
}

function reachEnd(context: Context): void {
  const { manifest, state, logger } = context;
  endTrial(context);
  missSent(context);
  if (!state.caughtUp) dropOrphanedIntents(context);
  if (isBootstrapping(manifest)) {
    manifest.setMeta('bootstrapped', 'yes');
    state.dirty.allFiles = state.dirty.records = true;
    state.straysCleared = false;
    logger.info({}, 'bootstrapped: the log was read to its end');
  }
  state.caughtUp = true;
  state.atEnd = true;
}

/**
 * Everything that the log holds is recorded, so an intent that is still there came from a log that is gone (lost and made anew, or cut
 * off): what was already done of it exists nowhere else, and is published like an edit. What waits in quarantine may be tried again.
 */
function dropOrphanedIntents(context: Context): void {
  const { manifest } = context;
  const orphaned = manifest
    .intents()
    .filter(({ key, hash }) => manifest.entry(key)?.hash !== hash && manifest.quarantinedOf(key).length === 0);
  if (orphaned.length === 0) return;
  manifest.transaction(() => {
    for (const { key, revision, hash } of orphaned) {
      // Others may hold that version, and put it back into the log.
      manifest.noteMet(key, { revision, hash });
      manifest.dropIntents(key);
    }
  });
  markDirty(context, { records: true, paths: orphaned.flatMap(({ key }) => pathIn(key) ?? []) });
}

/** Two agents under one replica id would overwrite each other's versions. Records of an earlier life of ours are older than this process. */
function refuseDouble({ manifest, settings, state }: Context, { incoming }: Batch): void {
  if (!state.caughtUp) return;
  for (const { change } of incoming) {
    if (change.version.replica !== settings.replicaId || change.instance === manifest.instance || change.time < state.startedAt) continue;
    const known = manifest.entry(change.key);
    if (known === undefined || compareStamp(known, change) < 0)
      throw new DocbusError(
        'replica_id_taken',
        `Another agent publishes under the replica id ${settings.replicaId}. Give each replica its own DOCBUS_REPLICA; this agent stops so that no edit is lost.`,
      );
  }
}

/**
 * Before anything here is overwritten: an edit that nobody has published is published first (invariant 1), so that the merge
 * sees it and every replica decides alike. At first contact there is nothing to publish yet: the log wins, see apply.
 */
async function publishLocalEdits(
  context: Context,
  { incoming }: Batch,
  applier: Applier,
  signal: AbortSignal,
): Promise<'published' | ReadonlySet<Key>> {
  const { manifest, logger } = context;
  const taken = incoming.map(({ change }) => change).filter((change) => merge(manifest.entry(change.key), stampOf(change)) === 'take');
  if (relevantEdits(context, taken).size === 0) return new Set();
  // Nothing is published beside something that is not recorded yet.
  await applier.finish();
  const edits = relevantEdits(context, taken);
  const { drafts, marks } = await collectPuts(context, signal, edits);
  // What cannot be published now (a document that does not parse) gives way, its content kept.
  if (drafts.length === 0) return edits;
  await publishDrafts(context, drafts, marks, signal);
  logger.info({ changes: drafts.length }, 'published local edits before applying what others did to the same keys');
  return 'published';
}

type Merged = {
  readonly winners: readonly Winner[];
  /** what the log's newest record says of each key: the same as our entry or not */
  readonly logged: ReadonlyMap<Key, boolean>;
  readonly quarantine: readonly ReturnType<typeof quarantineOf>[];
  readonly conflicts: readonly (() => void)[];
};

function mergeBatch(context: Context, { incoming }: Batch): Merged {
  const { manifest } = context;
  const overlay = new Map<Key, Incoming & { readonly entry: Recorded }>();
  const logged = new Map<Key, boolean>();
  const conflicts: (() => void)[] = [];
  for (const item of incoming) {
    const { change, packed } = item;
    const before = overlay.get(change.key);
    const known = before?.entry ?? manifest.entry(change.key);
    const verdict = merge(known, stampOf(change));
    if (verdict === 'take') {
      if (known !== undefined && known.state === 'present' && isConflict(change, known)) {
        const loser = before?.packed ?? (before === undefined ? manifest.payload(change.key)?.packed : undefined);
        conflicts.push(() => keepLoser(context, change, known, loser));
      }
      overlay.set(change.key, { ...item, entry: { ...entryOf(change), applied: false, logged: true } });
      logged.delete(change.key);
    } else {
      if (verdict === 'keep' && known !== undefined && change.state === 'present' && isConflict(known, change))
        conflicts.push(() => keepLoser(context, known, { ...entryOf(change), applied: false, logged: false }, packed));
      // Without its parts it is of no use to whoever comes later: they were appended again, and the change after them was lost with the log's tail.
      logged.set(change.key, verdict === 'same' && !item.missingParts);
    }
  }
  const winners: Winner[] = [];
  const quarantine: ReturnType<typeof quarantineOf>[] = [];
  for (const { change, packed, missingParts } of overlay.values()) {
    if (missingParts)
      quarantine.push(
        quarantineOf(
          context,
          { change, packed },
          new DocbusError(
            'parts_missing',
            `The parts of ${change.key} (${formatVersion(change.version)}) are gone from the log: a newer version should follow. If none does, touch the document on a replica that has it.`,
          ),
        ),
      );
    else winners.push({ change, packed });
  }
  return { winners, logged, quarantine, conflicts };
}

/** Keeps what lost under the state directory and lists it. Embeddings are only listed: they are made from their document. */
function keepLoser(
  { manifest, conflicts, settings, clock, logger }: Context,
  winner: Pick<Change, 'key' | 'version'>,
  loser: Recorded,
  packed: Uint8Array | undefined,
): void {
  const { key } = loser;
  const version = formatVersion(loser.version);
  const id = conflictId(key, version);
  if (manifest.isDismissed(id)) return;
  const kind = kindOf(key);
  const content =
    kind === 'document'
      ? unpackLoser(loser, packed, settings.payloadBytesMax)
      : kind === 'embedding'
        ? undefined
        : new TextEncoder().encode(JSON.stringify(loser.content, null, 2));
  const file = content === undefined ? null : conflicts.save(key, version, content);
  const added = manifest.putConflict({
    id,
    key,
    winner: formatVersion(winner.version),
    loser: version,
    file,
    time: clock.now(),
  });
  if (added)
    logger.warn(
      { key, winner: formatVersion(winner.version), loser: version, file },
      'two replicas changed this at the same time; the losing content is kept',
    );
}

/** Undefined where the payload is gone or damaged: the conflict is listed all the same. */
function unpackLoser({ hash }: Recorded, packed: Uint8Array | undefined, bytesMax: number): Uint8Array | undefined {
  try {
    return packed === undefined ? undefined : unpackPayload(packed, { hash, bytesMax });
  } catch (error) {
    if (isDocbusError(error, 'payload_corrupt')) return undefined;
    throw error;
  }
}
