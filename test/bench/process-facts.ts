// What the kernel knows of a process: its memory, and the processor time it took, which says the same on a busy machine as on a quiet one.
import { readFileSync } from 'node:fs';

/** User and system time since it began. Linux counts in hundredths of a second. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** megabytes in memory */
export const memoryOf = (pid: number): number => statusOf(pid, 'VmRSS');
/** the most it ever had */
export const peakOf = (pid: number): number => statusOf(pid, 'VmHWM');

function statusOf(pid: number, name: string): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${name}:`));
  return Number(line?.match(/\d+/)?.[0]) / 1024;
}
