// The agent of one replica: bounded steps over its ports. The loop (run.ts), the simulation and the tests call the same steps.
import { documentKey, embeddingKey, kindOf, parseKey, workspaceKey, type Key } from '@docbus/core';
import type { Conflict } from '@docbus/replica/manifest.ts';
import { createApplier, type Applied } from './apply.ts';
import { consumeOnce } from './consume.ts';
import { createState, writeMarks, type AgentOptions, type Context, type Scope } from './context.ts';
import type { Winner } from './groups.ts';
import { quarantineOf } from './incoming.ts';
import { recordFills } from './materialise.ts';
import { entryOf, learnDimensions, publishOnce, storePayload, type StepResult } from './publish.ts';
import { recordedPayload } from './recorded.ts';
import { markDirty } from './survey.ts';

export type Agent = {
  readonly context: Context;
  /** Notes where to look. */
  hint(scope: Scope): void;
  publishOnce(signal: AbortSignal): Promise<StepResult>;
  consumeOnce(signal: AbortSignal): Promise<StepResult>;
  /**
   * Forgets the checkpoint: the log is read from its first record again. Where the log is another one or has lost records, nothing of
   * what we know counts as being in it until it is met there; at its end, what was not met is appended.
   */
  startOver(reason: StartOverReason): void;
  /** Lets held deletions be published (all, or some keys). Returns how many. */
  approveDeletions(keys?: ReadonlySet<Key>): number;
  /** Puts back on disk what held deletions took away. Returns how many. */
  revertDeletions(keys: ReadonlySet<Key> | undefined, signal: AbortSignal): Promise<number>;
  /** Tries quarantined changes again (all, or some ids), and has the log read again for records that could not be read. Returns how many were applied or are read again. */
  retryQuarantined(ids: ReadonlySet<string> | undefined, signal: AbortSignal): Promise<number>;
  /** Takes conflicts off the list (all, or some ids), and with `withFiles` removes what was kept of them. Returns how many. */
  dismissConflicts(ids: ReadonlySet<string> | undefined, withFiles: boolean): number;
  /** Forgets records that could not be read (all, or some ids); never changes. Returns how many. */
  dropQuarantined(ids: ReadonlySet<string> | undefined): number;
};

export type StartOverReason = 'position_expired' | 'log_tail_lost' | 'log_recreated' | 'secrets_changed' | 'secret_added' | 'asked';

export function createAgent(options: AgentOptions): Agent {
  const context: Context = { ...options, state: createState(options.clock) };
  const { manifest } = context;
  return {
    context,
    hint: (scope) => markDirty(context, scope),
    publishOnce: (signal) => publishOnce(context, signal),
    consumeOnce: (signal) => consumeOnce(context, signal),
    startOver: (reason) => startOver(context, reason),
    approveDeletions(keys) {
      const chosen = manifest.held().filter((held) => keys === undefined || keys.has(held.key));
      manifest.transaction(() => chosen.forEach((held) => manifest.putHeld({ ...held, approved: true })));
      return chosen.length;
    },
    revertDeletions: (keys, signal) => revertDeletions(context, keys, signal),
    retryQuarantined: (ids, signal) => retryQuarantined(context, ids, signal),
    dismissConflicts: (ids, withFiles) => dismissConflicts(context, ids, withFiles),
    dropQuarantined(ids) {
      const chosen = unreadable(context, ids);
      manifest.transaction(() => chosen.forEach((id) => manifest.dropQuarantine(id)));
      return chosen.length;
    },
  };
}

const LOST: readonly StartOverReason[] = ['log_tail_lost', 'log_recreated', 'secrets_changed'];
/** A log whose retention takes less than the replicas hold would be filled and cut in turn. */
const REFILL_AFTER_RETENTION_MS = 24 * 60 * 60 * 1000;

function startOver({ manifest, state, logger, clock }: Context, reason: StartOverReason): void {
  const refilledAt = Number(manifest.meta('refilled') ?? -Infinity);
  const isCut = reason === 'position_expired' && clock.now() - refilledAt >= REFILL_AFTER_RETENTION_MS;
  manifest.transaction(() => {
    manifest.setMeta('checkpoint', undefined);
    if (isCut) manifest.setMeta('refilled', String(clock.now()));
    if (isCut || LOST.includes(reason)) manifest.setAllLogged(false);
    // What still cannot be read is met again. (Where records are gone from the log, what is kept of them is all there is.)
    if (reason === 'secrets_changed' || reason === 'secret_added') manifest.dropUnreadable();
  });
  state.caughtUp = state.atEnd = false;
  logger.warn({ reason }, 'reading the log from its first record');
}

/** Ids of records that could not be read, and so have no change. */
function unreadable({ manifest }: Context, ids: ReadonlySet<string> | undefined): readonly string[] {
  return manifest.quarantined().flatMap(({ id, change }) => (change === null && (ids === undefined || ids.has(id)) ? [id] : []));
}

function dismissConflicts({ manifest, conflicts }: Context, ids: ReadonlySet<string> | undefined, withFiles: boolean): number {
  const all = manifest.conflicts();
  const isChosen = ({ id }: Conflict): boolean => ids === undefined || ids.has(id);
  const chosen = all.filter(isChosen);
  const stillNamed = new Set(all.filter((conflict) => !isChosen(conflict)).map(({ file }) => file));
  // Files first: what is still listed can be dismissed again, a file that nothing names is there for good.
  if (withFiles) for (const { file } of chosen) if (file !== null && !stillNamed.has(file)) conflicts.remove(file);
  manifest.transaction(() => chosen.forEach(({ id }) => manifest.dismissConflict(id)));
  return chosen.length;
}

/** Applies recorded entries again, as if they came from the log. */
async function revertDeletions(context: Context, keys: ReadonlySet<Key> | undefined, signal: AbortSignal): Promise<number> {
  const { manifest } = context;
  const chosen = manifest.held().filter((held) => keys === undefined || keys.has(held.key));
  const again = new Set<Key>();
  for (const { key } of chosen) {
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
  manifest.transaction(() => chosen.forEach(({ key }) => manifest.dropHeld(key)));
  await applyAndRecord(context, winners, signal);
  // The reset has been answered: what happened before now is not a reason to hold anything later.
  context.state.dirty.records = true;
  return chosen.length;
}

async function retryQuarantined(context: Context, ids: ReadonlySet<string> | undefined, signal: AbortSignal): Promise<number> {
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
  const record = ({ winners: some, refused, memberships, marks }: Applied): void =>
    manifest.transaction(() => {
      for (const { change, packed } of some) {
        manifest.dropIntents(change.key);
        const refusal = refused.get(change.key);
        if (refusal !== undefined) {
          refusals += 1;
          manifest.putQuarantine(quarantineOf(context, { change, packed }, refusal));
          continue;
        }
        for (const { id } of manifest.quarantinedOf(change.key)) manifest.dropQuarantine(id);
        manifest.record({
          ...entryOf(change),
          applied: kindOf(change.key) !== 'membership',
          logged: manifest.entry(change.key)?.logged ?? true,
        });
        storePayload(context, change, packed);
        learnDimensions(context, change, false);
      }
      for (const [key, done] of memberships.applied) manifest.setApplied(key, done);
      recordFills(manifest, memberships);
      writeMarks(manifest, marks);
    });
  await using applier = createApplier(context, signal);
  await applier.apply({ winners, overruled: new Set(), record });
  await applier.finish();
  return refusals;
}
