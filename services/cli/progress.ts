// One line now and then about work that takes a while: how far it is, how fast, and how long it will take.
import type { Clock } from '@docbus/runtime';

export type Progress = {
  /** `total`: records, as far as is known */
  begin(what: string, total: number): void;
  update(records: number, bytes: number): void;
};

const EVERY_MS = 2000;

export function createProgress(clock: Pick<Clock, 'now'>, print: (text: string) => void): Progress {
  let what = '';
  let total = 0;
  let begunAt = 0;
  let saidAt = 0;
  return {
    begin(words, records) {
      what = words;
      total = records;
      begunAt = saidAt = clock.now();
    },
    update(records, bytes) {
      const now = clock.now();
      if (now - saidAt < EVERY_MS) return;
      saidAt = now;
      const seconds = (now - begunAt) / 1000;
      const left = Math.max(total - records, 0) / (records / seconds);
      print(
        `${what}: ${formatCount(records)} of ${formatCount(Math.max(total, records))} records, ${formatCount(records / seconds)} records/s, ${formatBytes(bytes / seconds)}/s, ${formatSeconds(left)} left`,
      );
    },
  };
}

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** `1 record`, `2,000 records` */
export function formatMany(count: number, what: string): string {
  return `${formatCount(count)} ${what}${count === 1 ? '' : 's'}`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** `12 s`, `3:05`, `2:03:05` */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (part: number): string => String(part).padStart(2, '0');
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
