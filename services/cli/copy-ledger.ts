// What a copy knows of the two logs, key by key, and the parts whose change it has not met yet. In a temporary file of SQLite's own that
// is gone with the process: a log may hold more than memory does, and everything here is read from the logs again.
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { merge, stampOf, type Change, type Key, type Stamp } from '@docbus/core';

export type Side = 'source' | 'target';
/** `parts`: how many parts its payload has in the log; 0 where it has none of its own. */
export type Known = Stamp & { readonly parts: number };

const ddl = `
  pragma journal_mode = off; pragma synchronous = off; pragma temp_store = file;
  create table known (side text, key text, revision integer, replica text, state text, hash text, parts integer, primary key (side, key)) without rowid;
  create table parts (key text, hash text, part integer, bytes blob, primary key (key, hash, part));
  create table incomplete (key text primary key) without rowid;
`;

export class CopyLedger implements Disposable {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor() {
    this.#database = new DatabaseSync(''); // a file without a name
    this.#database.exec(ddl);
    this.#database.exec('begin'); // never to be committed
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }

  known(side: Side, key: Key): Known | undefined {
    const row = this.#prepare('select * from known where side = ? and key = ?').get(side, key);
    if (row === undefined) return undefined;
    return {
      version: { revision: Number(row['revision']), replica: String(row['replica']) },
      state: row['state'] as Stamp['state'],
      hash: String(row['hash']),
      parts: Number(row['parts']),
    };
  }

  /** Notes a change that a side holds; true where it wins over what was known of that side. */
  learn(side: Side, change: Change, parts: number): boolean {
    const { key, version, state, hash } = change;
    if (merge(this.known(side, key), stampOf(change)) !== 'take') return false;
    this.#prepare('insert or replace into known values (?, ?, ?, ?, ?, ?, ?)').run(
      side,
      key,
      version.revision,
      version.replica,
      state,
      hash,
      parts,
    );
    return true;
  }

  count(side: Side): number {
    return Number(this.#prepare('select count(*) as n from known where side = ?').get(side)?.['n']);
  }

  putPart(key: Key, hash: string, part: number, bytes: Uint8Array): void {
    this.#prepare('insert or replace into parts values (?, ?, ?, ?)').run(key, hash, part, bytes);
  }

  /** How many parts of a payload are here, of those below `parts`. */
  partCount(key: Key, hash: string, parts: number): number {
    return Number(this.#prepare('select count(*) as n from parts where key = ? and hash = ? and part < ?').get(key, hash, parts)?.['n']);
  }

  /** One at a time: together they may be large. */
  part(key: Key, hash: string, part: number): Uint8Array {
    const row = this.#prepare('select bytes from parts where key = ? and hash = ? and part = ?').get(key, hash, part);
    if (row === undefined) throw new Error(`part ${part} of ${key} is not here`);
    return row['bytes'] as Uint8Array;
  }

  dropParts(key: Key, hash: string): void {
    this.#prepare('delete from parts where key = ? and hash = ?').run(key, hash);
  }

  setIncomplete(key: Key, incomplete: boolean): void {
    this.#prepare(incomplete ? 'insert or ignore into incomplete values (?)' : 'delete from incomplete where key = ?').run(key);
  }

  incompleteCount(): number {
    return Number(this.#prepare('select count(*) as n from incomplete').get()?.['n']);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }
}
