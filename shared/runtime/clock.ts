// Time and chance come from here, so that the simulation can own both. Nothing else calls Date, setTimeout or Math.random.
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

export type Clock = {
  /** milliseconds since the epoch */
  now(): number;
  /** Resolves after `ms` or rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** `count` random bytes */
  random(count: number): Uint8Array;
};

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
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
