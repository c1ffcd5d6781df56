// One agent per state directory. The lock is an exclusive SQLite transaction on a file of its own: the operating system lets
// go of it when the process dies, however it dies.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';

/** Holds the lock until disposed. Throws `state_locked` where another process holds it. */
export function lockState({ stateDir }: { readonly stateDir: string }): Disposable {
  const file = join(stateDir, 'lock.db');
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(stateDir, { recursive: true });
    database = new DatabaseSync(file);
    database.exec('pragma busy_timeout = 0; pragma locking_mode = exclusive; begin exclusive');
  } catch (error) {
    database?.close();
    const busy = error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY;
    if (busy)
      throw new DocbusError(
        'state_locked',
        `Another agent uses the state directory ${stateDir}. Stop it, or give this one a directory of its own (DOCBUS_STATE_DIR).`,
        { cause: error },
      );
    throw new DocbusError('disk_failed', `The state directory ${stateDir} cannot be used; check that it exists on a writable disk.`, {
      cause: error,
    });
  }
  const held = database;
  return { [Symbol.dispose]: () => held.close() };
}

const SQLITE_BUSY = 5;
