// Growing pauses between failed steps. Doubling up to a bound, with jitter so that replicas which lost one broker
// together do not come back together.
import type { Clock } from './clock.ts';

export type Pauses = { readonly firstMs: number; readonly longestMs: number };

export const defaultPauses: Pauses = { firstMs: 500, longestMs: 30_000 };

/** The pause before try number `attempt` + 1; attempt counts from 1. Between half of and the whole of the doubled pause. */
export function nextPauseMs(attempt: number, clock: Pick<Clock, 'random'>, pauses: Pauses = defaultPauses): number {
  const doublings = Math.min(Math.max(attempt, 1) - 1, 30); // 2^30 is beyond every bound already
  const fullMs = Math.min(pauses.firstMs * 2 ** doublings, pauses.longestMs);
  return Math.round(fullMs * (0.5 + 0.5 * chance(clock)));
}

/** A number from 0 up to 1 from the clock's chance. */
function chance(clock: Pick<Clock, 'random'>): number {
  const [a = 0, b = 0] = clock.random(2);
  return (a * 256 + b) / 65_536;
}
