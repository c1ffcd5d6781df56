// How a process learns that another one appended to the SQLite log, without polling: who appends writes a byte to `<log>-hint`
// after its transaction, and everybody watches the directory for that name. Writes to SQLite's own WAL come before the records
// can be read, so they would hint too early. Where a byte or an event is lost, a slow timer makes up for it.
import { closeSync, constants, openSync, watch, writeSync, type FSWatcher } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Clock } from '@docbus/runtime';
import { createWake } from './wake.ts';

/** How late a hint may be when no event arrives (network file systems, no inotify watches left, a writer that died at the wrong moment). */
const FALLBACK_MS = 2000;

const hintPath = (path: string) => `${path}-hint`;

/** Tells every watcher of the log that there is something to read. */
export function tellOthers(path: string): void {
  try {
    // Not cut to nothing before: a file that is cut and written anew is put on the disk at once by ext4, and who appends would wait for it.
    const file = openSync(hintPath(path), constants.O_WRONLY | constants.O_CREAT, 0o666);
    try {
      writeSync(file, '.', 0);
    } finally {
      closeSync(file);
    }
  } catch {
    // Only a hint: the records are in the log, and the watchers' timers will find them.
  }
}

/** Yields at once, and then whenever `state()` is another text than at the last time, asked after each event and each tick of the timer. */
export async function* sqliteHints(path: string, clock: Clock, state: () => string, signal: AbortSignal): AsyncGenerator<void> {
  const wake = createWake();
  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  const ticking = tick(path, clock, wake.set, ended.signal);
  try {
    while (!signal.aborted) {
      const seen = state();
      yield;
      while (!signal.aborted && state() === seen) await wake.wait(signal);
    }
  } finally {
    signal.removeEventListener('abort', end);
    end();
    await ticking;
  }
}

/** Wakes on every event and every FALLBACK_MS. The watch is renewed with each tick: a directory that was replaced, or limits that were hit, heal. */
async function tick(path: string, clock: Clock, wake: () => void, ended: AbortSignal): Promise<void> {
  let watcher: FSWatcher | undefined;
  while (!ended.aborted) {
    const older = watcher;
    watcher = watchFor(hintPath(path), wake);
    older?.close();
    wake();
    await clock.sleep(FALLBACK_MS, ended).catch(() => undefined);
  }
  watcher?.close();
}

function watchFor(path: string, wake: () => void): FSWatcher | undefined {
  const name = basename(path);
  try {
    const watcher = watch(dirname(path), (_type, changed) => {
      if (changed === name || changed === null) wake();
    });
    // A watch that fails later is renewed at the next tick.
    watcher.on('error', () => watcher.close());
    return watcher;
  } catch {
    return undefined; // no watches left, or no directory: the timer remains
  }
}
