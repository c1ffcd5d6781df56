// The manifest's database: tables and how it is opened. It is ours alone and may be deleted at any time: losing it costs
// a bootstrap, never a document. WAL with synchronous=NORMAL: a power cut may lose the newest transactions (work is
// repeated then), never their order.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';

const FORMAT = '1';
const DAMAGED = 'manifest.damaged';
const BUSY_MS = 5000;

/** Leaves word for the next start that the manifest is damaged. */
export function markDamaged(directory: string): void {
  writeFileSync(join(directory, DAMAGED), '');
}

const ddl = `
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists entries (
  key text primary key, kind text not null, slug text, path text,
  revision integer not null, replica text not null, state text not null, hash text not null,
  base text not null, content text, time integer not null,
  applied integer not null, logged integer not null) without rowid;
create index if not exists entries_membership_path on entries (path, slug) where kind = 'membership';
create index if not exists entries_membership_slug on entries (slug, path) where kind = 'membership';
create index if not exists entries_unapplied on entries (key) where kind = 'membership' and state = 'present' and applied = 0;
create index if not exists entries_unlogged on entries (kind, key) where logged = 0;
create index if not exists entries_sent on entries (key) where logged = 2;
create table if not exists payloads (key text primary key, hash text not null, packed blob not null);
create table if not exists outbox (key text primary key, seq integer not null, change text not null, packed blob) without rowid;
create table if not exists intents (key text not null, state text not null, hash text not null, content text, revision integer not null, primary key (key, state, hash)) without rowid;
create table if not exists landed (key text not null, hash text not null, primary key (key, hash)) without rowid;
create table if not exists met (key text primary key, revision integer not null, hash text not null) without rowid;
create table if not exists files (place text not null, path text not null, signature text not null, hash text not null, primary key (place, path)) without rowid;
create table if not exists fills (doc_id text primary key, hash text not null, ids_hash text not null) without rowid;
create table if not exists unsampled_fills (doc_id text primary key, hash text not null, ids_hash text not null) without rowid;
drop table if exists fresh_fills;
create table if not exists sent_fills (doc_id text not null, hash text not null, key text not null, chunks integer not null, primary key (doc_id, hash)) without rowid;
create table if not exists parts (key text not null, hash text not null, idx integer not null, bytes blob not null, primary key (key, hash, idx));
create table if not exists held (key text primary key, reason text not null, since integer not null, approved integer not null) without rowid;
create table if not exists quarantine (id text primary key, key text, code text not null, message text not null, time integer not null, change text, packed blob, logged integer not null) without rowid;
create table if not exists conflicts (id text primary key, key text not null, winner text not null, loser text not null, file text, time integer not null) without rowid;
create table if not exists dismissed (id text primary key) without rowid;
`;

export type OpenedDatabase = { readonly database: DatabaseSync; readonly setAside: string | undefined };

/**
 * Opens or creates `manifest.db` in the state directory. A file that is no manifest or is damaged is renamed to
 * `manifest.db.corrupt-<time>` (returned as `setAside`) and a new one begins: the agent bootstraps from the log.
 */
export function openManifestDatabase(directory: string, now: number): OpenedDatabase {
  const file = join(directory, 'manifest.db');
  const damaged = join(directory, DAMAGED);
  try {
    mkdirSync(directory, { recursive: true });
    if (existsSync(damaged)) throw new CorruptManifest('found damaged while it was in use');
    return { database: tryOpen(file), setAside: undefined };
  } catch (error) {
    if (!isCorruption(error))
      throw new DocbusError('disk_failed', `The manifest ${file} cannot be opened; check that the state directory is writable.`, {
        cause: error,
      });
    const setAside = `${file}.corrupt-${now}`;
    for (const suffix of ['', '-wal', '-shm']) if (existsSync(file + suffix)) renameSync(file + suffix, setAside + suffix);
    rmSync(damaged, { force: true });
    return { database: tryOpen(file), setAside };
  }
}

function tryOpen(file: string): DatabaseSync {
  // From the first statement on: after a kill, whoever looks into the file first (a person with sqlite3, say) locks it while it is recovered.
  const database = new DatabaseSync(file, { timeout: BUSY_MS });
  try {
    database.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma temp_store = memory;');
    database.exec(ddl);
    // Reading every page (quick_check) would cost minutes at 100,000 documents; damage found later marks the file for the next start.
    database
      .prepare(
        'select (select count(*) from intents), (select max(key) from entries), (select max(path) from files), (select max(logged) from quarantine), (select max(hash) from met)',
      )
      .get();
    const format = database
      .prepare(`insert into meta values ('format', ?) on conflict do update set name = name returning value`)
      .get(FORMAT);
    if (format?.['value'] !== FORMAT) throw new CorruptManifest(`format ${String(format?.['value'])} is not ${FORMAT}`);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class CorruptManifest extends Error {}

/** SQLITE_CORRUPT (11), SQLITE_NOTADB (26), or a table that is not as this version makes it (1: SQL logic error). */
export function isCorruption(error: unknown): boolean {
  if (error instanceof CorruptManifest) return true;
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
  return code === 11 || code === 26 || code === 1;
}
