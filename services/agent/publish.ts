// publish: disk vs manifest -> log. Edits are written to the outbox with their versions, appended, and only then recorded
// (invariant 4). Whatever fails or dies in between is appended again exactly as it stands: same version, same content.
import { baseOn, isDocbusError, kindOf, parseKey, type Change, type Key } from '@docbus/core';
import { dropParts, partsOf, recordsOf } from '@docbus/log';
import type { LogRecord } from '@docbus/log/port.ts';
import type { Outgoing, Recorded } from '@docbus/replica/manifest.ts';
import { clearCollection } from './apply-workspaces.ts';
import { collectDeletions, firstDeletions } from './deletions.ts';
import { collectPuts, type Draft } from './collect.ts';
import { requestMaterialise, writeMarks, type Context, type Mark } from './context.ts';
import { checkFreshFills, noteRemoved } from './fresh-fills.ts';
import { observeFills } from './observe-fills.ts';
import { checkSamples } from './sample-fills.ts';
import { materialiseRecorded } from './materialise.ts';
import { isDatabaseReplaced } from './places.ts';
import { recordedPayload } from './recorded.ts';
import { surveyFiles, surveyRecords } from './survey.ts';

/** `more`: call again at once. `wakeAt`: look again then (milliseconds of the clock), even without a hint. */
export type StepResult = { readonly more: boolean; readonly wakeAt: number | undefined };

/** One bounded look at this replica, published. Does nothing but resend the outbox until the log was read to its end once. */
export async function publishOnce(context: Context, signal: AbortSignal): Promise<StepResult> {
  const { manifest, state } = context;
  if (manifest.outbox().length > 0) {
    await flushOutbox(context, signal);
    return { more: true, wakeAt: undefined };
  }
  if (!state.caughtUp) return { more: false, wakeAt: undefined };
  // Rows that another database lacks are not gone: their vectors stay.
  const isReplaced = isDatabaseReplaced(context);
  const unfinishedAt = isReplaced
    ? undefined
    : earliest(
        await unlessPutOff(context, 'what was filled beside AnythingLLM', () => checkFreshFills(context, signal), signal),
        await unlessPutOff(context, 'what is still to be filled', () => finishIntents(context, signal), signal),
      );
  surveyFiles(context);
  surveyRecords(context);
  const { drafts, marks, full } = await collectPuts(context, signal);
  const deletions = full ? { drafts: [], wakeAt: undefined } : collectDeletions(context);
  const all = [...drafts, ...firstDeletions(deletions.drafts, context.settings.publishChangesMax)];
  if (all.length > 0) {
    await publishDrafts(context, all, marks, signal);
    return { more: true, wakeAt: deletions.wakeAt };
  }
  if (marks.length > 0) manifest.transaction(() => writeMarks(manifest, marks));
  const sampleAt = isReplaced
    ? undefined
    : await unlessPutOff(context, 'what AnythingLLM filled', () => checkSamples(context, signal), signal);
  const restored = await restoreLog(context, signal);
  // Files that were read too soon after they were written are due for another look.
  const racy = state.dirty.paths.size > 0 ? context.clock.now() + RACY_LOOK_MS : undefined;
  return { more: restored, wakeAt: earliest(earliest(deletions.wakeAt, racy), earliest(unfinishedAt, sampleAt)) };
}

const RACY_LOOK_MS = 150;

/** What AnythingLLM changed here must get into the log also while Chroma is away, or while it works on the same rows: that edit is published first, and a later step comes back to this. */
async function unlessPutOff(
  { logger, clock, settings, state }: Context,
  what: string,
  act: () => Promise<number | undefined>,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const wakeAt = await act();
    state.refused.delete(what);
    return wakeAt;
  } catch (error) {
    if (signal.aborted || !isDocbusError(error, 'aborted', 'chroma_unreachable', 'chroma_refused')) throw error;
    // That Chroma is away is said elsewhere (chroma-watch.ts); that it answers and refuses is not.
    const isNews = error.code === 'chroma_refused' && !state.refused.has(what);
    if (error.code === 'chroma_refused') state.refused.add(what);
    logger[isNews ? 'warn' : 'debug']({ what, reason: error.message }, 'materialise is put off; edits are published all the same');
    return clock.now() + settings.settleMs;
  }
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}

/** Gives the drafts their versions, in the outbox and then in the log. */
export async function publishDrafts(
  context: Context,
  drafts: readonly Draft[],
  marks: readonly Mark[],
  signal: AbortSignal,
): Promise<void> {
  const { manifest } = context;
  manifest.transaction(() => {
    manifest.putOutbox(drafts.map((draft) => ({ change: stamp(context, draft), packed: draft.packed })));
    writeMarks(manifest, [...marks, ...drafts.flatMap((draft) => draft.marks)]);
  });
  await flushOutbox(context, signal);
}

function stamp({ manifest, settings, clock }: Context, draft: Draft): Change {
  const entry = manifest.entry(draft.key);
  // A newer version may wait in quarantine: it is known, so ours must come after it.
  const known = manifest.quarantinedOf(draft.key).map(({ change }) => change?.version.revision ?? 0);
  // So may one that was put on disk and not yet recorded when this edit was made on top of it.
  const intended = manifest.intentsOf(draft.key).map((intent) => intent.revision);
  const highest = Math.max(entry?.version.revision ?? 0, ...known, ...intended);
  const met = manifest.met(draft.key);
  const isMet = met !== undefined && met.revision > highest && met.hash === draft.hash;
  const revision = isMet ? met.revision : Math.max(highest, met?.revision ?? 0) + 1;
  const common = {
    key: draft.key,
    version: { revision, replica: settings.replicaId },
    base: baseOn(entry),
    hash: draft.hash,
    instance: manifest.instance,
    time: clock.now(),
  };
  return draft.state === 'present'
    ? { ...common, state: 'present', content: draft.content }
    : { ...common, state: 'deleted', content: null };
}

export async function flushOutbox(context: Context, signal: AbortSignal): Promise<void> {
  const { manifest, log, logger } = context;
  const outgoing = manifest.outbox();
  const records = outgoing.flatMap(({ change, packed }) => [
    ...dropSuperseded(context, change.key, change.hash),
    ...recordsOf(change, packed),
  ]);
  await log.append(records, signal);
  const observed = observeFills(
    context,
    outgoing.map(({ change }) => change),
  );
  noteRemoved(
    context,
    outgoing.map(({ change }) => change),
  );
  manifest.transaction(() => {
    for (const { change, packed } of outgoing) {
      const unfinished = isUnfinished(manifest, change.key);
      // What was about to be put on disk before this edit is no excuse for what is found there after it.
      manifest.dropIntents(change.key);
      manifest.record({ ...entryOf(change), applied: true, logged: true });
      manifest.setSent(change.key);
      if (unfinished || isDeletedWorkspace(change)) requestMaterialise(manifest, change.key);
      storePayload(context, change, packed);
      learnDimensions(context, change, true);
      for (const waiting of waitingFor(context, change)) requestMaterialise(manifest, waiting);
      for (const { id } of manifest.quarantinedOf(change.key)) manifest.dropQuarantine(id);
    }
    for (const fill of observed.fills) {
      manifest.putFill(fill);
      manifest.putUnsampledFill(fill);
    }
    for (const key of observed.refill) requestMaterialise(manifest, key);
    manifest.clearOutbox();
  });
  logger.debug({ changes: outgoing.length, records: records.length }, 'published');
}

export function entryOf({ key, version, base, state, hash, content, time }: Change): Omit<Recorded, 'applied' | 'logged'> {
  return { key, version, base, state, hash, content, time };
}

export function storePayload({ manifest }: Pick<Context, 'manifest'>, change: Change, packed: Uint8Array | undefined): void {
  if (packed === undefined) manifest.dropPayload(change.key);
  else manifest.putPayload(change.key, change.hash, packed);
}

/** What AnythingLLM embedded here last tells the dimensions of this replica's embedder; before that, what the others' embedded. */
export function learnDimensions({ manifest }: Pick<Context, 'manifest'>, { content }: Change, own: boolean): void {
  if (content !== null && 'fingerprint' in content && (own || manifest.meta('dimensions') === undefined))
    manifest.setMeta('dimensions', String(content.fingerprint.dimensions));
}

/** Parts of the payload that a new version replaces are of no use to anybody. */
function dropSuperseded({ manifest }: Context, key: Key, hash: string): readonly LogRecord[] {
  const old = manifest.payloadBytes(key);
  if (old === undefined || old.hash === hash) return [];
  return dropParts(key, old.hash, partsOf(key, old.bytes));
}

/**
 * Memberships that could not be applied while their workspace or document was gone, and now can. Those of a changed document are looked at
 * in any case: a re-sync whose Chroma goes away takes the old vectors out and puts no new ones in, and nothing but the document tells.
 */
function waitingFor({ manifest }: Context, { key, state }: Change): readonly Key[] {
  const parsed = parseKey(key);
  if (state === 'deleted' || parsed.kind === 'membership') return [];
  const memberships = parsed.kind === 'workspace' ? manifest.membershipsIn(parsed.slug) : manifest.membershipsOf(parsed.path);
  return memberships
    .filter((membership) => membership.state === 'present' && (parsed.kind === 'document' || !membership.applied))
    .map((membership) => membership.key);
}

/** AnythingLLM drops the collection last, and not at all while Chroma is away: a workspace made again under that slug would find old vectors. */
function isDeletedWorkspace({ key, state }: Pick<Change, 'key' | 'state'>): boolean {
  return state === 'deleted' && kindOf(key) === 'workspace';
}

function isUnfinished(manifest: Context['manifest'], key: Key): boolean {
  return kindOf(key) === 'membership' && manifest.intentsOf(key).some(({ hash }) => hash === manifest.entry(key)?.hash);
}

/**
 * Does what recorded entries still ask for here. Intents of changes that are not recorded belong to consume. AnythingLLM may be at work
 * on the same vectors right now (a watched re-sync goes from workspace to workspace), so it is left time to end. Returns when to look again.
 */
async function finishIntents(context: Context, signal: AbortSignal): Promise<number | undefined> {
  const { manifest, clock, settings, state } = context;
  const open = manifest.intents().filter((intent) => {
    const entry = manifest.entry(intent.key);
    return entry?.hash === intent.hash && (kindOf(intent.key) === 'membership' || isDeletedWorkspace(entry));
  });
  const keys = new Set(open.map(({ key }) => key));
  for (const key of state.finishAt.keys()) if (!keys.has(key)) state.finishAt.delete(key);
  for (const key of keys) if (!state.finishAt.has(key)) state.finishAt.set(key, clock.now() + settings.settleMs);
  // What does not fit stays due, and is looked at again at once.
  const due = [...keys].filter((key) => (state.finishAt.get(key) ?? 0) <= clock.now()).slice(0, settings.publishChangesMax);
  if (due.length > 0) {
    for (const key of due) state.finishAt.set(key, clock.now() + settings.settleMs);
    for (const key of due.filter((some) => kindOf(some) === 'workspace')) {
      await clearCollection(context, key, signal);
      manifest.dropIntents(key);
    }
    await materialiseRecorded(context, due, signal);
  }
  return earliestOf(state.finishAt.values());
}

function earliestOf(times: Iterable<number>): number | undefined {
  let least: number | undefined;
  for (const time of times) least = earliest(least, time);
  return least;
}

/** Puts entries back that the log lost or buried under a losing version; their author first, anybody after a while. */
async function restoreLog(context: Context, signal: AbortSignal): Promise<boolean> {
  const { manifest, log, logger, clock, settings, state } = context;
  if (!state.atEnd) return false;
  const mine = manifest.unlogged(settings.publishChangesMax, settings.replicaId);
  if (mine.length === 0 && manifest.unloggedCount() === 0) {
    state.unloggedSince = undefined;
    return false;
  }
  state.unloggedSince ??= clock.now();
  const due =
    mine.length > 0 ? mine : clock.now() - state.unloggedSince >= settings.refillMs ? manifest.unlogged(settings.publishChangesMax) : [];
  const outgoing = withinBytes(context, due);
  if (outgoing.length === 0) return false;
  await log.append(
    outgoing.flatMap(({ change, packed }) => recordsOf(change, packed)),
    signal,
  );
  manifest.transaction(() => outgoing.forEach(({ change }) => manifest.setSent(change.key)));
  // Others may be at the same: read what they appended before appending more.
  state.atEnd = false;
  logger.info({ changes: outgoing.length }, 'restored changes that the log had lost');
  return true;
}

function withinBytes(context: Context, entries: readonly Recorded[]): readonly Outgoing[] {
  const { manifest, settings } = context;
  const outgoing: Outgoing[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (bytes >= settings.publishBytesMax) break;
    const { key, version, base, hash, time, content } = entry;
    const kind = kindOf(key);
    // A damaged copy would win over every good one that comes later.
    if (entry.state === 'present' && (kind === 'document' || kind === 'embedding')) recordedPayload(context, entry);
    const payload = entry.state === 'present' ? manifest.payload(key) : undefined;
    bytes += payload?.packed.length ?? 0;
    const common = { key, version, base, hash, time, instance: manifest.instance };
    const change: Change =
      entry.state === 'present' && content !== null
        ? { ...common, state: 'present', content }
        : { ...common, state: 'deleted', content: null };
    outgoing.push({ change, packed: payload?.packed });
  }
  return outgoing;
}
