// What tests install for themselves: kept in one directory outside the tracked files, made once, by one process at a time.
// `DOCBUS_CACHE` moves it (CI keeps it between runs); else it is `.cache/` at the root of the repository.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '@docbus/runtime/clock.ts';

export function cacheDirectory(): string {
  const directory = resolve(process.env['DOCBUS_CACHE'] ?? join(import.meta.dirname, '..', '..', '.cache'));
  mkdirSync(directory, { recursive: true });
  return directory;
}

/**
 * Holds a lock between processes while `work` runs; `held` is called once when somebody else has it.
 * The lock is SQLite's lock on an empty file: the system releases it when its owner dies.
 */
export async function withLock<T>(name: string, work: () => Promise<T>, signal?: AbortSignal, held?: () => void): Promise<T> {
  using lock = new DatabaseSync(join(cacheDirectory(), `${name}.lock`));
  for (let attempt = 0; !tryLock(lock); attempt++) {
    if (attempt === 0) held?.();
    await systemClock.sleep(100, signal ?? new AbortController().signal);
  }
  return await work();
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === 5) return false; // SQLITE_BUSY
    throw error;
  }
}

/**
 * The directory `name` in the cache, complete. Where it is not yet, `make` fills it (an incomplete one is removed first),
 * while every other process waits. `name` should contain the version of what it holds.
 */
export async function installOnce(
  { name, make }: { readonly name: string; readonly make: (directory: string) => Promise<void> },
  signal?: AbortSignal,
): Promise<string> {
  const directory = join(cacheDirectory(), name);
  const complete = join(directory, '.complete');
  if (existsSync(complete)) return directory;
  const waiting = (): void => progress(`${name}: another process is installing it; waiting`);
  await withLock(
    name,
    async () => {
      if (existsSync(complete)) return;
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory, { recursive: true });
      await make(directory);
      writeFileSync(complete, '');
    },
    signal,
    waiting,
  );
  return directory;
}

/** One line to a person who waits, on stderr: it replaces the one before on a terminal. `done` ends the line. */
export function progress(text: string, done = false): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}${done ? '\n' : ''}`);
  else process.stderr.write(`${text}\n`);
}
