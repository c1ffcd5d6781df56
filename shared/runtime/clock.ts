// Time and chance come from here, so that the simulation can own both. Nothing else calls Date, setTimeout or Math.random.
import { randomBytes } from 'node:crypto';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';

export type Clock = {
  /** milliseconds since the epoch */
  now(): number;
  /** Resolves after `ms` or rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Called within long work: now and then, lets whatever else waits for this process have its turn (a request on its way out, health checks). */
  breathe(): Promise<void>;
  /** `count` random bytes */
  random(count: number): Uint8Array;
};

/** Work may go on for so long between two breaths. */
const BREATH_MS = 10;
let breathed = 0;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
  breathe: async () => {
    if (performance.now() - breathed < BREATH_MS) return;
    await setImmediate();
    breathed = performance.now();
  },
  random: (count) => randomBytes(count),
};

/** A version-4 UUID from the clock's chance. */
export function randomUuid(clock: Pick<Clock, 'random'>): string {
  const bytes = clock.random(16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
