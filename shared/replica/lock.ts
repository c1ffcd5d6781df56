// One agent per state directory. An exclusive SQLite transaction holds it, because the operating system gives its lock back
// however the process ends, SIGKILL included.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';
import { statAt } from './files.ts';

const SQLITE_BUSY = 5;

export type StateLock = Disposable & {
  /**
   * Throws `state_removed` where the directory was taken away, also where there is another in its place: what is written to open files
   * of it is lost, and nothing is locked.
   */
  check(): void;
};

/** Held until it is disposed of. Throws `state_locked` where another process has it, `disk_failed` where it cannot be had at all. */
export function lockState({ stateDir }: { readonly stateDir: string }): StateLock {
  const file = join(stateDir, 'lock.db');
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(stateDir, { recursive: true });
    database = new DatabaseSync(file, { timeout: 0 });
    database.exec('begin exclusive');
  } catch (error) {
    database?.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)
      throw new DocbusError(
        'state_locked',
        `Another docbus agent uses the state directory ${stateDir}. Stop it first, or give this agent a state directory of its own (DOCBUS_STATE_DIR).`,
        { cause: error },
      );
    throw new DocbusError('disk_failed', `The state directory ${stateDir} cannot be used; make it writable for the agent.`, {
      cause: error,
    });
  }
  const held = database;
  return { check: watchPlace(file, stateDir), [Symbol.dispose]: () => held.close() };
}

/**
 * Throws `state_removed` where the file that is at the path now, and is kept open, is there no more. While it is open its inode is not
 * given to another file, so one that was made anew in its place is told from it.
 */
export function watchPlace(file: string, stateDir: string): () => void {
  const opened = inodeAt(file);
  return () => {
    if (opened === undefined || inodeAt(file) !== opened)
      throw new DocbusError(
        'state_removed',
        `The state directory ${stateDir} was removed while the agent ran. Start the agent again: it makes a new one from the log.`,
      );
  };
}

function inodeAt(file: string): string | undefined {
  const stat = statAt(file);
  return stat === undefined ? undefined : `${stat.dev}-${stat.ino}`;
}
