// The file behind the SQLite log: opened, recognised as ours, made where it is missing, and its errors put into docbus's words.
// A file that belongs to another program is never written to.
import { closeSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DocbusError, isDocbusError } from '@docbus/core';

/** 'docb' */
const APPLICATION_ID = 0x646f6362;
const SCHEMA_VERSION = 1;
/** SQLite's own wait for a lock blocks the whole process, so it is short; the driver waits in between. */
const LOCK_WAIT_MS = 5;

/**
 * A key is there at most once: an append replaces its older value and takes a new number. AUTOINCREMENT never gives a number twice,
 * also after its record is gone, so sqlite_sequence knows how long the log has ever been.
 */
const schema = `
  create table log (
    position integer primary key autoincrement,
    key text not null unique,
    value blob not null,
    headers text not null,
    time integer not null
  ) strict;
  create table identity (id text not null) strict;
  create table checkpoints (replica text primary key, position integer not null, time integer not null) strict;
  pragma application_id = ${APPLICATION_ID};
  pragma user_version = ${SCHEMA_VERSION};
`;

/**
 * A process that begins to append begins an epoch. Where an older copy of the file was put back, numbers are given a second time, but
 * under another epoch: so a checkpoint from before is recognised. (Not in the schema's version: who does not know it does no harm.)
 */
const epochs = `create table if not exists epochs (start integer primary key, id text not null) strict`;

export type SqliteFile = {
  readonly database: DatabaseSync;
  /** device and inode. While the file is open its inode cannot be given to another file. */
  readonly inode: string;
  /** whoever appends through this handle has begun an epoch */
  hasEpoch: boolean;
};

/** undefined where there is no such file. */
export function inodeOf(path: string): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats && `${stats.dev}:${stats.ino}`;
}

/** Opens the file, or makes it with `newIdentity`. Throws SQLite's and the system's own errors; see translate. */
export function openSqliteFile(path: string, newIdentity: string): SqliteFile {
  closeSync(openSync(path, 'a'));
  const inode = inodeOf(path);
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS });
  try {
    checkOurs(database, path);
    const mode = database.prepare('pragma journal_mode = wal').get()?.['journal_mode'];
    if (mode !== 'wal')
      throw new DocbusError('log_refused', `SQLite cannot share ${path} on this file system. Put the log on a local disk of one machine.`);
    // FULL: a record is on the disk when append resolves. A larger WAL than the default's 4 MB halves what a bulk append writes.
    database.exec('pragma synchronous = full; pragma wal_autocheckpoint = 4000; pragma journal_size_limit = 67108864');
    transaction(database, () => {
      if (!checkOurs(database, path)) {
        database.exec(schema);
        database.prepare('insert into identity (id) values (?)').run(newIdentity);
      }
      database.exec(epochs);
    });
    if (inode === undefined || inodeOf(path) !== inode)
      throw new DocbusError('log_busy', `${path} was replaced while it was being opened.`);
    return { database, inode, hasEpoch: false };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Runs `work` in one transaction that is written or not at all. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('begin immediate');
  try {
    const result = work();
    database.exec('commit');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    throw error;
  }
}

/** True where the file is a log of docbus, false where it is empty. Throws `log_refused` for anything else. */
function checkOurs(database: DatabaseSync, path: string): boolean {
  const applicationId = database.prepare('pragma application_id').get()?.['application_id'];
  const version = database.prepare('pragma user_version').get()?.['user_version'];
  if (applicationId === APPLICATION_ID) {
    if (version === SCHEMA_VERSION) return true;
    throw new DocbusError(
      'log_refused',
      `${path} is a log of a newer docbus (version ${String(version)}, this one knows ${SCHEMA_VERSION}). Update docbus.`,
    );
  }
  const tables = database.prepare('select count(*) as count from sqlite_master').get()?.['count'];
  if (tables === 0) return false;
  throw new DocbusError('log_refused', `${path} is the database of another program and is left alone. Name another file for the log.`);
}

/** Error numbers of SQLite: https://www.sqlite.org/rescode.html */
const sqliteCodes = { busy: 5, locked: 6, readonly: 8, ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, notADatabase: 26, moved: 1032 };

/** True where another connection holds the lock, or the file has been moved away under us: look again. */
export function isPassing(error: unknown): boolean {
  if (isDocbusError(error, 'log_busy')) return true;
  const code = sqliteCodeOf(error);
  return code === sqliteCodes.moved || code % 256 === sqliteCodes.busy || code % 256 === sqliteCodes.locked;
}

/** What an error means to the agent. Bugs stay what they are. */
export function translate(error: unknown, path: string): unknown {
  const because = (code: DocbusError['code'], text: string) => new DocbusError(code, text, { cause: error });
  // Headers that are no JSON were not written by us.
  if (error instanceof SyntaxError)
    return because('log_corrupt', `The log ${path} is damaged. Move the file away; the replicas fill a new one.`);
  switch (sqliteCodeOf(error) % 256) {
    case sqliteCodes.corrupt:
    case sqliteCodes.notADatabase:
      return because('log_corrupt', `The log ${path} is damaged. Move the file away; the replicas fill a new one.`);
    case sqliteCodes.full:
      return because('disk_full', `The disk of the log ${path} is full.`);
    case sqliteCodes.readonly:
      return because('log_refused', `The log ${path} cannot be written. Give this user the right to write the file and its directory.`);
    case sqliteCodes.ioError:
    case sqliteCodes.cannotOpen:
      return because('log_unreachable', `The log ${path} cannot be read.`);
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return because('log_unreachable', `The directory of the log does not exist: ${dirname(path)}. Create it, or mount what belongs there.`);
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'EISDIR')
    return because('log_refused', `The log ${path} cannot be opened for writing.`);
  if (code === 'ENOSPC' || code === 'EDQUOT') return because('disk_full', `The disk of the log ${path} is full.`);
  if (code === 'EIO' || code === 'ESTALE' || code === 'EMFILE' || code === 'ENFILE')
    return because('log_unreachable', `The log ${path} cannot be read.`);
  return error;
}

function sqliteCodeOf(error: unknown): number {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : 0;
}
