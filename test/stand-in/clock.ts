// A clock for the stand-in whose time and chance follow from a seed alone.
import { createHash } from 'node:crypto';
import type { Clock } from '@docbus/runtime/clock.ts';

/** Each look at the time is one second later than the last. `start` in milliseconds since the epoch (default 1 March 2026). */
export function seededClock(seed: string, start = 1_772_323_200_000): Pick<Clock, 'now' | 'random'> {
  let time = start;
  let drawn = 0;
  return {
    now: () => (time += 1_000),
    random: (count) => {
      const blocks = Array.from({ length: Math.ceil(count / 32) }, () => createHash('sha256').update(`${seed}/${drawn++}`).digest());
      return Uint8Array.from(Buffer.concat(blocks).subarray(0, count));
    },
  };
}
