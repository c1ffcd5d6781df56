// Starting over: the checkpoint is forgotten and the log read again, and what it may have lost is met there or put back.
import type { Position } from '@docbus/log/port.ts';
import type { Context } from './context.ts';

export type StartOverReason = 'position_expired' | 'log_tail_lost' | 'log_recreated' | 'secrets_changed' | 'secret_added' | 'asked';

const LOST: readonly StartOverReason[] = ['log_tail_lost', 'log_recreated', 'secrets_changed'];

/** A log whose retention takes less than the replicas hold would be filled and cut in turn. */
const REFILL_AFTER_RETENTION_MS = 24 * 60 * 60 * 1000;

export function startOver({ manifest, state, logger, clock }: Context, reason: StartOverReason): void {
  const refilledAt = Number(manifest.meta('refilled') ?? -Infinity);
  const isCut = reason === 'position_expired' && clock.now() - refilledAt >= REFILL_AFTER_RETENTION_MS;
  const isWhole = reason === 'asked' || reason === 'secret_added';
  manifest.transaction(() => {
    // Asked again on the way: where it was before the first time lies further on.
    manifest.setMeta('former', isWhole ? (manifest.meta('former') ?? manifest.meta('checkpoint')) : undefined);
    manifest.setMeta('checkpoint', undefined);
    if (isCut) manifest.setMeta('refilled', String(clock.now()));
    if (isCut || LOST.includes(reason)) manifest.setAllLogged(false);
    // What still cannot be read is met again. (Where records are gone from the log, what is kept of them is all there is.)
    if (reason === 'secrets_changed' || reason === 'secret_added') manifest.dropUnreadable();
  });
  state.caughtUp = state.atEnd = false;
  logger.warn({ reason }, 'reading the log from its first record');
}

/**
 * To be called at the end of the log. Where it was read again for another reason, nobody has asked yet whether it still has the record that
 * the forgotten checkpoint stood at. Throws `log_tail_lost` where it does not: then what it lacks must be put back.
 */
export async function checkFormer({ manifest, log }: Pick<Context, 'manifest' | 'log'>, signal: AbortSignal): Promise<void> {
  const former = manifest.meta('former') as Position | undefined;
  if (former === undefined) return;
  await log.read(former, { recordsMax: 1, bytesMax: 1 }, signal);
  manifest.setMeta('former', undefined);
}
