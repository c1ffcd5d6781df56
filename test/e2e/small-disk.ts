// A disk that can be full: a small tmpfs. Needs the right to mount; where there is none the tests that want it say so, but never in CI.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environment } from '../servers/find.ts';

export type SmallDisk = Disposable & {
  readonly directory: string;
  resize(megabytes: number): void;
};

/** Why no small disk can be made here; undefined where it can. */
export function noSmallDisk(): string | undefined {
  if (environment('CI') !== undefined || process.getuid?.() === 0) return undefined; // in CI a mount that fails is a failure
  return 'mounting a tmpfs needs root';
}

/** Unmounted when disposed; whatever runs on it must have ended. */
export function mountSmallDisk(megabytes: number): SmallDisk {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-small-disk-'));
  const mount = (...options: string[]): void =>
    void execFileSync('mount', ['-t', 'tmpfs', ...options, 'docbus-test', directory], { stdio: 'pipe' });
  mount('-o', `size=${megabytes}m`);
  return {
    directory,
    resize: (to) => mount('-o', `remount,size=${to}m`),
    // Lazily: a process that was just killed may hold a file for a moment longer.
    [Symbol.dispose]: () => {
      execFileSync('umount', ['--lazy', directory], { stdio: 'pipe' });
      rmdirSync(directory);
    },
  };
}
