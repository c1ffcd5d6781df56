// One agent per state directory. An exclusive SQLite transaction holds it, because the operating system gives its lock back
// however the process ends, SIGKILL included.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';

const SQLITE_BUSY = 5;

/** Held until it is disposed of. Throws `state_locked` where another process has it, `disk_failed` where it cannot be had at all. */
export function lockState({ stateDir }: { readonly stateDir: string }): Disposable {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(stateDir, { recursive: true });
    database = new DatabaseSync(join(stateDir, 'lock.db'), { timeout: 0 });
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
  return { [Symbol.dispose]: () => held.close() };
}
