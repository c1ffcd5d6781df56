// The connection to anythingllm.db. It never creates the file, never changes journal_mode, notices when the file was replaced,
// and keeps every lock short: AnythingLLM loses rows silently when it waits too long for one.
import { accessSync, type BigIntStats, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { DocbusError, isDocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { isAbsence } from './files.ts';
import { checkSchema } from './schema.ts';
import { createVectorRows, type VectorRows } from './vector-rows.ts';

export type DatabaseOptions = {
  readonly databasePath: string;
  readonly clock: Pick<Clock, 'random'>;
  /** How long to wait for a lock; the wait blocks this process. */
  readonly busyMs: number;
};

export type Connection = {
  readonly database: DatabaseSync;
  /** Changes with every opening, so that two openings' data_versions are never taken for one. */
  readonly opening: string;
  readonly vectorRows: VectorRows;
};

export interface Database extends Disposable {
  /** The open connection, opened again where the file was replaced. Throws `database_missing`, `schema_unknown`, `database_busy`. */
  connection(): Connection;
  /** Runs `body` on the connection; SQLite's errors become ours. */
  read<T>(body: (connection: Connection) => T): T;
  /** The same inside BEGIN IMMEDIATE … COMMIT, rolled back where it throws. */
  write<T>(body: (connection: Connection) => T): T;
}

type Opened = Omit<Connection, 'vectorRows'> & { readonly file: string; schemaVersion: unknown; vectorRows: VectorRows | undefined };

/** Every look asks the same few questions: compiling one takes longer than answering it. */
class PreparedDatabase extends DatabaseSync {
  readonly #statements = new Map<string, StatementSync>();

  override prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = super.prepare(sql)));
    return statement;
  }
}

export function openDatabase(options: DatabaseOptions): Database {
  const { databasePath, clock, busyMs } = options;
  let opened: Opened | undefined;

  function connection(): Connection {
    const file = identityOf(databasePath);
    if (opened !== undefined && opened.file !== file) close();
    opened ??= open(file);
    const { database } = opened;
    const schemaVersion = database.prepare('pragma schema_version').get()?.['schema_version'];
    if (schemaVersion !== opened.schemaVersion) {
      checkSchema(database, databasePath);
      opened.schemaVersion = schemaVersion;
    }
    opened.vectorRows ??= createVectorRows(database);
    return { database, opening: opened.opening, vectorRows: opened.vectorRows };
  }

  function open(file: string): Opened {
    const url = pathToFileURL(databasePath);
    url.searchParams.set('mode', 'rw');
    const database = new PreparedDatabase(url, { timeout: busyMs });
    try {
      database.exec(`pragma foreign_keys = on; pragma temp_store = ${temporaryPlace()}`);
      // Replaced while it was opened: what is open may be either.
      if (identityOf(databasePath) !== file) throw missing(databasePath, 'is being replaced');
      return { database, opening: Buffer.from(clock.random(6)).toString('hex'), file, schemaVersion: undefined, vectorRows: undefined };
    } catch (error) {
      database.close();
      throw error;
    }
  }

  function close(): void {
    opened?.database.close();
    opened = undefined;
  }

  function run<T>(body: (connection: Connection) => T): T {
    try {
      return body(connection());
    } catch (error) {
      if (isDocbusError(error)) throw error;
      const translated = translate(error, databasePath, busyMs);
      // A damaged file may be put right by replacing it in place: look at it afresh.
      if (isDocbusError(translated, 'schema_unknown', 'disk_failed')) close();
      throw translated;
    }
  }

  return {
    connection: () => run((it) => it),
    read: run,
    write: (body) =>
      run((it) => {
        const { database } = it;
        database.exec('begin immediate');
        try {
          const result = body(it);
          database.exec('commit');
          return result;
        } catch (error) {
          if (database.isTransaction) database.exec('rollback');
          throw error;
        }
      }),
    [Symbol.dispose]: close,
  };
}

/** Sorting and our temporary tables go to a file, which spares memory, unless (in a read-only container) there is no place for one. */
function temporaryPlace(): 'file' | 'memory' {
  const writable = [tmpdir(), '/var/tmp', '/tmp'].some((directory) => {
    try {
      accessSync(directory, constants.W_OK | constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  return writable ? 'file' : 'memory';
}

/** Device and inode: our open handle keeps the inode from being given to another file. */
function identityOf(databasePath: string): string {
  let stat: BigIntStats | undefined;
  try {
    stat = statSync(databasePath, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
  if (stat === undefined) throw missing(databasePath, 'does not exist');
  return `${stat.dev}:${stat.ino}`;
}

function missing(databasePath: string, what: string): DocbusError {
  return new DocbusError(
    'database_missing',
    `AnythingLLM's database ${databasePath} ${what}. Start AnythingLLM once, mount its storage, or correct DOCBUS_DATABASE; docbus never creates it.`,
  );
}

/** Result codes of SQLite, https://sqlite.org/rescode.html; the low byte of an extended code is its primary code. */
function translate(error: unknown, databasePath: string, busyMs: number): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error;
  const wrap = (code: ConstructorParameters<typeof DocbusError>[0], message: string): DocbusError =>
    new DocbusError(code, message, { cause: error });
  switch (error.errcode & 0xff) {
    case 5: // BUSY
    case 6: // LOCKED
      return wrap('database_busy', `${databasePath} was locked by AnythingLLM for more than ${busyMs} ms; docbus tries again.`);
    case 13: // FULL
      return wrap('disk_full', `No space left to write ${databasePath}. Free some space on that volume; docbus tries again.`);
    case 8: // READONLY
    case 10: // IOERR
    case 14: // CANTOPEN
    case 3: // PERM
      return wrap(
        'disk_failed',
        `${databasePath} could not be read or written (${error.message}). Run the agent as the same user as AnythingLLM with the storage writable.`,
      );
    case 11: // CORRUPT
    case 26: // NOTADB
      return wrap(
        'schema_unknown',
        `${databasePath} is damaged or no SQLite database (${error.message}). Restore it, then docbus goes on.`,
      );
    case 19: // CONSTRAINT
      return wrap('record_malformed', `${databasePath} refuses what a change would write into it (${error.message}).`);
    default:
      return error;
  }
}
