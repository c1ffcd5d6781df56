// The manifest: what this replica last recorded, key -> version and hash, with the checkpoint and everything that must change
// together with them in one transaction. It never runs ahead (invariant 4): callers record only what is applied or appended.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import {
  DocbusError,
  emptyDigest,
  parseKey,
  updateDigest,
  type Base,
  type Change,
  type Content,
  type Digest,
  type DocPath,
  type Entry,
  type ErrorCode,
  type Key,
  type Kind,
  type Slug,
  type Stamp,
} from '@docbus/core';
import { randomUuid, type Clock } from '@docbus/runtime/clock.ts';
import { watchPlace } from './lock.ts';
import { isCorruption, markDamaged, openManifestDatabase } from './manifest-schema.ts';
import type { Signature } from './port.ts';

/** An entry with what this replica knows beside it. `applied`: it is on disk here. `logged`: the log's newest record of the key says the same, as far as is known. */
export type Recorded = Entry & {
  readonly content: Content | null;
  readonly time: number;
  readonly applied: boolean;
  readonly logged: boolean;
};
/** A change on its way into the log; re-appended as it stands until the log has taken it. */
export type Outgoing = { readonly change: Change; readonly packed: Uint8Array | undefined };
/** What docbus was about to put on disk. `state` 'deleted' stands for an absent picture. */
export type Intent = {
  readonly key: Key;
  readonly state: 'present' | 'deleted';
  readonly hash: string;
  readonly content: Content | null;
  /** of the version that it comes from: an edit made after it must have a higher one */
  readonly revision: number;
};
export type FileMark = { readonly signature: Signature; readonly hash: string };
/** One document's marks beside what is recorded of it. */
export type FolderMark = {
  readonly path: DocPath;
  readonly document: Signature;
  /** the content that was seen is what is recorded */
  readonly isDocumentRecorded: boolean;
  readonly cache: Signature | null;
  /** the same, null where no embedding is recorded */
  readonly isCacheRecorded: boolean | null;
};
export type Place = 'document' | 'cache';
/** The embedding that the vectors of one docId hold, and the hash of its vector ids when that was seen. */
export type Fill = { readonly docId: string; readonly hash: string; readonly idsHash: string };
export type Held = { readonly key: Key; readonly reason: string; readonly since: number; readonly approved: boolean };
export type Quarantined = {
  readonly id: string;
  readonly key: string | null;
  readonly code: ErrorCode;
  readonly message: string;
  readonly time: number;
  readonly change: Change | null;
  readonly packed: Uint8Array | undefined;
};
export type Conflict = {
  readonly id: string;
  readonly key: Key;
  readonly winner: string;
  readonly loser: string;
  readonly file: string | null;
  readonly time: number;
};
export type KindCounts = Readonly<Record<Kind, { readonly present: number; readonly deleted: number; readonly unapplied: number }>>;

type Row = Record<string, unknown>;

export class Manifest implements Disposable {
  readonly #database: DatabaseSync;
  readonly #directory: string;
  readonly #statements = new Map<string, StatementSync>();
  #digest: Digest;
  /** Random id of this manifest: a lost state directory gets another one. */
  readonly instance: string;
  /** The name that a damaged manifest was given at opening, for the operator. */
  readonly setAside: string | undefined;
  /** Throws `state_removed` where the manifest's file is no longer in its place: what is recorded in it would be lost. */
  readonly checkPlace: () => void;

  constructor(options: { directory: string; clock: Clock }) {
    const { database, setAside } = openManifestDatabase(options.directory, options.clock.now());
    this.#database = database;
    this.#directory = options.directory;
    this.setAside = setAside;
    this.checkPlace = watchPlace(join(options.directory, 'manifest.db'), options.directory);
    this.instance = this.meta('instance') ?? randomUuid(options.clock);
    this.setMeta('instance', this.instance);
    this.#digest = (this.meta('digest') ?? emptyDigest) as Digest;
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    this.#database.close();
  }

  /** Runs `work` in one transaction: all of it or nothing. Throws `disk_full` or `manifest_corrupt` where SQLite says so. */
  transaction<T>(work: () => T): T {
    const digest = this.#digest;
    this.#guarded(() => this.#database.exec('begin immediate'));
    try {
      const result = work();
      if (this.#digest !== digest) this.setMeta('digest', this.#digest);
      this.#guarded(() => this.#database.exec('commit'));
      return result;
    } catch (error) {
      this.#digest = digest;
      if (this.#database.isTransaction) this.#database.exec('rollback');
      throw error;
    }
  }

  get digest(): Digest {
    return this.#digest;
  }

  meta(name: string): string | undefined {
    const row = this.#get('select value from meta where name = ?', name);
    return row === undefined ? undefined : String(row['value']);
  }

  setMeta(name: string, value: string | undefined): void {
    if (value === undefined) this.#run('delete from meta where name = ?', name);
    else this.#run('insert into meta values (?, ?) on conflict do update set value = excluded.value', name, value);
  }

  // entries

  entry(key: Key): Recorded | undefined {
    const row = this.#get('select * from entries where key = ?', key);
    return row === undefined ? undefined : toRecorded(row);
  }

  /** Inserts or replaces an entry and updates the digest. */
  record(entry: Recorded): void {
    const before = this.entry(entry.key);
    this.#digest = updateDigest(this.#digest, entry.key, before, entry);
    const parsed = parseKey(entry.key);
    this.#run(
      `insert into entries values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set
       revision = excluded.revision, replica = excluded.replica, state = excluded.state, hash = excluded.hash,
       base = excluded.base, content = excluded.content,
       time = excluded.time, applied = excluded.applied, logged = excluded.logged`,
      entry.key,
      parsed.kind,
      'slug' in parsed ? parsed.slug : null,
      'path' in parsed ? parsed.path : null,
      entry.version.revision,
      entry.version.replica,
      entry.state,
      entry.hash,
      JSON.stringify(entry.base),
      entry.content === null ? null : JSON.stringify(entry.content),
      entry.time,
      entry.applied ? 1 : 0,
      entry.logged ? 1 : 0,
    );
  }

  setApplied(key: Key, applied: boolean): void {
    this.#run('update entries set applied = ? where key = ?', applied ? 1 : 0, key);
  }

  setLogged(key: Key, logged: boolean): void {
    this.#run('update entries set logged = ? where key = ? and logged <> ?', logged ? 1 : 0, key, logged ? 1 : 0);
  }

  /** Appended and acknowledged, and not yet read back: a log can lose what it has acknowledged (a broker without others, and the power goes). */
  setSent(key: Key): void {
    this.#run('update entries set logged = 2 where key = ?', key);
  }

  sent(): readonly Recorded[] {
    return this.#all('select * from entries where logged = 2').map(toRecorded);
  }

  /** false where the log is a new one that holds nothing yet: every entry has to be found in it or appended to it. */
  setAllLogged(logged: boolean): void {
    this.#run('update entries set logged = ?', logged ? 1 : 0);
  }

  /** Entries that the log's newest record does not agree with, at most `limit`; `replica` narrows to one author. */
  unlogged(limit: number, replica?: string): readonly Recorded[] {
    // rank: a reader should meet workspaces and documents before what depends on them
    const order = `order by case kind when 'workspace' then 0 when 'document' then 1 when 'embedding' then 2 else 3 end, key limit ?`;
    const rows =
      replica === undefined
        ? this.#all(`select * from entries where logged = 0 ${order}`, limit)
        : this.#all(`select * from entries where logged = 0 and replica = ? ${order}`, replica, limit);
    return rows.map(toRecorded);
  }

  hasLogged(): boolean {
    return this.#get('select 1 from entries where logged <> 0 limit 1') !== undefined;
  }

  unloggedCount(): number {
    return Number(this.#get('select count(*) as n from entries where logged = 0')?.['n']);
  }

  membershipsOf(path: DocPath): readonly Recorded[] {
    return this.#all(`select * from entries where kind = 'membership' and path = ? order by slug`, path).map(toRecorded);
  }

  membershipsIn(slug: Slug): readonly Recorded[] {
    return this.#all(`select * from entries where kind = 'membership' and slug = ? order by path`, slug).map(toRecorded);
  }

  /** Streams (key, hash) of present entries of a kind that are on disk here; synchronous, for a survey. */
  *presentHashes(kind: Kind): Generator<{ readonly key: Key; readonly hash: string }> {
    const statement = this.#prepare(
      `select key, hash from entries where key > ? and key < ? and state = 'present' and applied = 1 order by key`,
    );
    for (const row of statement.iterate(`${kind}/`, `${kind}0`)) yield { key: String(row['key']) as Key, hash: String(row['hash']) };
  }

  /** True where an entry of the kind is recorded as present. */
  hasPresent(kind: Kind): boolean {
    return this.#get(`select 1 from entries where key > ? and key < ? and state = 'present' limit 1`, `${kind}/`, `${kind}0`) !== undefined;
  }

  /** Streams the present memberships that are on disk here, by slug and then path (UTF-8 bytes); synchronous, for a survey. */
  *presentMemberships(): Generator<{ readonly slug: Slug; readonly path: DocPath; readonly hash: string }> {
    const statement = this.#prepare(
      `select slug, path, hash from entries where kind = 'membership' and state = 'present' and applied = 1 order by slug, path`,
    );
    statement.setReturnArrays(true);
    for (const row of statement.iterate()) {
      const [slug, path, hash] = row as unknown as [Slug, DocPath, string];
      yield { slug, path, hash };
    }
  }

  /** Memberships that are recorded but not on disk here: they wait for their workspace, document or embedding. */
  unappliedMemberships(): readonly Recorded[] {
    return this.#all(`select * from entries where kind = 'membership' and state = 'present' and applied = 0 order by key`).map(toRecorded);
  }

  /** Chunks of all present embeddings. */
  chunkCount(): number {
    return Number(
      this.#get(
        `select coalesce(sum(json_extract(content, '$.chunks')), 0) as n from entries where kind = 'embedding' and state = 'present'`,
      )?.['n'],
    );
  }

  *entries(): Generator<Recorded> {
    for (const row of this.#prepare('select * from entries order by key').iterate()) yield toRecorded(row);
  }

  counts(): KindCounts {
    const none = { present: 0, deleted: 0, unapplied: 0 };
    const counts: Record<Kind, { present: number; deleted: number; unapplied: number }> = {
      document: { ...none },
      embedding: { ...none },
      workspace: { ...none },
      membership: { ...none },
    };
    for (const row of this.#all(`select kind, state, applied, count(*) as n from entries group by kind, state, applied`)) {
      const count = counts[String(row['kind']) as Kind];
      if (row['state'] === 'deleted') count.deleted += Number(row['n']);
      else count.present += Number(row['n']);
      if (row['state'] === 'present' && row['applied'] === 0) count.unapplied += Number(row['n']);
    }
    return counts;
  }

  // payloads: the packed bytes of present documents and embeddings, so that this replica can restore a log, a collection or a held deletion

  payload(key: Key): { readonly hash: string; readonly packed: Uint8Array } | undefined {
    const row = this.#get('select hash, packed from payloads where key = ?', key);
    return row === undefined ? undefined : { hash: String(row['hash']), packed: row['packed'] as Uint8Array };
  }

  /** Size of the stored payload in bytes, without reading it. */
  payloadBytes(key: Key): { readonly hash: string; readonly bytes: number } | undefined {
    const row = this.#get('select hash, length(packed) as n from payloads where key = ?', key);
    return row === undefined ? undefined : { hash: String(row['hash']), bytes: Number(row['n']) };
  }

  putPayload(key: Key, hash: string, packed: Uint8Array): void {
    this.#run(
      'insert into payloads values (?, ?, ?) on conflict do update set hash = excluded.hash, packed = excluded.packed',
      key,
      hash,
      packed,
    );
  }

  dropPayload(key: Key): void {
    this.#run('delete from payloads where key = ?', key);
  }

  // outbox

  outbox(): readonly Outgoing[] {
    return this.#all('select change, packed from outbox order by seq').map((row) => ({
      change: JSON.parse(String(row['change'])) as Change,
      packed: (row['packed'] as Uint8Array | null) ?? undefined,
    }));
  }

  putOutbox(outgoing: readonly Outgoing[]): void {
    for (const [seq, { change, packed }] of outgoing.entries())
      this.#run(
        'insert into outbox (key, seq, change, packed) values (?, ?, ?, ?)',
        change.key,
        seq,
        JSON.stringify(change),
        packed ?? null,
      );
  }

  outboxCount(): number {
    return Number(this.#get('select count(*) as n from outbox')?.['n']);
  }

  clearOutbox(): void {
    this.#run('delete from outbox');
  }

  // intents

  intentsOf(key: Key): readonly Intent[] {
    return this.#all('select * from intents where key = ?', key).map(toIntent);
  }

  intents(): readonly Intent[] {
    return this.#all('select * from intents order by key').map(toIntent);
  }

  putIntent(intent: Intent): void {
    this.#run(
      'insert or replace into intents values (?, ?, ?, ?, ?)',
      intent.key,
      intent.state,
      intent.hash,
      intent.content === null ? null : JSON.stringify(intent.content),
      intent.revision,
    );
  }

  dropIntents(key: Key): void {
    this.#run('delete from intents where key = ?', key);
  }

  // files: stat signatures, so that an unchanged file is not read again

  file(place: Place, path: DocPath): FileMark | undefined {
    const row = this.#get('select signature, hash from files where place = ? and path = ?', place, path);
    return row === undefined ? undefined : { signature: String(row['signature']) as Signature, hash: String(row['hash']) };
  }

  putFile(place: Place, path: DocPath, mark: FileMark): void {
    this.#run(
      'insert into files values (?, ?, ?, ?) on conflict do update set signature = excluded.signature, hash = excluded.hash',
      place,
      path,
      mark.signature,
      mark.hash,
    );
  }

  dropFile(place: Place, path: DocPath): void {
    this.#run('delete from files where place = ? and path = ?', place, path);
  }

  /** The marks of the files of one folder in name order, each beside the present entries. */
  *folderMarks(folder: string): Generator<FolderMark> {
    const statement = this.#prepare(
      `select d.path, d.signature, de.hash is d.hash, c.signature, iif(ee.hash is null, null, ee.hash is c.hash)
       from files d left join files c on c.place = 'cache' and c.path = d.path
       left join entries de on de.key = 'document/' || d.path and de.state = 'present'
       left join entries ee on ee.key = 'embedding/' || d.path and ee.state = 'present'
       where d.place = 'document' and d.path > ? and d.path < ? order by d.path`,
    );
    statement.setReturnArrays(true);
    for (const row of statement.iterate(`${folder}/`, `${folder}0`)) {
      const [path, document, isDocumentRecorded, cache, isCacheRecorded] = row as unknown as [
        DocPath,
        Signature,
        number,
        Signature | null,
        number | null,
      ];
      yield {
        path,
        document,
        isDocumentRecorded: isDocumentRecorded === 1,
        cache,
        isCacheRecorded: isCacheRecorded === null ? null : isCacheRecorded === 1,
      };
    }
  }

  /** Folders that have marks, sorted. */
  markedFolders(): readonly string[] {
    const folders: string[] = [];
    let after = '';
    for (;;) {
      const row = this.#get(`select path from files where place = 'document' and path > ? order by path limit 1`, after);
      if (row === undefined) return folders;
      const path = String(row['path']);
      const folder = path.slice(0, path.indexOf('/'));
      folders.push(folder);
      after = `${folder}0`;
    }
  }

  /** Documents that are recorded as present and have no mark: a survey that compares with marks would never miss them. */
  unmarkedDocuments(): readonly DocPath[] {
    return this.#all(
      `select e.path from entries e left join files f on f.place = 'document' and f.path = e.path
       where e.key > 'document/' and e.key < 'document0' and e.state = 'present' and f.path is null`,
    ).map((row) => String(row['path']) as DocPath);
  }

  // fills

  fill(docId: string): Fill | undefined {
    const row = this.#get('select hash, ids_hash from fills where doc_id = ?', docId);
    return row === undefined ? undefined : { docId, hash: String(row['hash']), idsHash: String(row['ids_hash']) };
  }

  putFill(fill: Fill): void {
    this.#run(
      'insert into fills values (?, ?, ?) on conflict do update set hash = excluded.hash, ids_hash = excluded.ids_hash',
      fill.docId,
      fill.hash,
      fill.idsHash,
    );
  }

  dropFill(docId: string): void {
    this.#run('delete from fills where doc_id = ?', docId);
  }

  // parts read ahead of their change

  putPart(key: Key, hash: string, index: number, bytes: Uint8Array): void {
    this.#run('insert or replace into parts values (?, ?, ?, ?)', key, hash, index, bytes);
  }

  parts(key: Key, hash: string): ReadonlyMap<number, Uint8Array> {
    return new Map(
      this.#all('select idx, bytes from parts where key = ? and hash = ?', key, hash).map((row) => [
        Number(row['idx']),
        row['bytes'] as Uint8Array,
      ]),
    );
  }

  dropParts(key: Key): void {
    this.#run('delete from parts where key = ?', key);
  }

  // held deletions

  held(): readonly Held[] {
    return this.#all('select * from held order by key').map((row) => ({
      key: String(row['key']) as Key,
      reason: String(row['reason']),
      since: Number(row['since']),
      approved: row['approved'] === 1,
    }));
  }

  /** Those that still wait for a person. */
  heldCount(): number {
    return Number(this.#get('select count(*) as n from held where approved = 0')?.['n']);
  }

  putHeld(held: Held): void {
    this.#run(
      'insert into held values (?, ?, ?, ?) on conflict do update set reason = excluded.reason, approved = excluded.approved',
      held.key,
      held.reason,
      held.since,
      held.approved ? 1 : 0,
    );
  }

  dropHeld(key: Key): void {
    this.#run('delete from held where key = ?', key);
  }

  // quarantine

  quarantined(): readonly Quarantined[] {
    return this.#all('select id, key, code, message, time, change, null as packed from quarantine order by time, id').map(toQuarantined);
  }

  quarantinedCount(): number {
    return Number(this.#get('select count(*) as n from quarantine')?.['n']);
  }

  quarantinedById(id: string): Quarantined | undefined {
    const row = this.#get('select * from quarantine where id = ?', id);
    return row === undefined ? undefined : toQuarantined(row);
  }

  quarantinedOf(key: Key): readonly Quarantined[] {
    return this.#all('select * from quarantine where key = ? order by time, id', key).map(toQuarantined);
  }

  putQuarantine(item: Quarantined): void {
    this.#run(
      'insert or replace into quarantine values (?, ?, ?, ?, ?, ?, ?)',
      item.id,
      item.key,
      item.code,
      item.message,
      item.time,
      item.change === null ? null : JSON.stringify(item.change),
      item.packed ?? null,
    );
  }

  /** Records that could not be read at all; whoever reads the log again meets them again. */
  dropUnreadable(): void {
    this.#run('delete from quarantine where change is null');
  }

  dropQuarantine(id: string): void {
    this.#run('delete from quarantine where id = ?', id);
  }

  // conflicts

  /** The newest first. */
  conflicts(limit = Number.MAX_SAFE_INTEGER): readonly Conflict[] {
    return this.#all('select * from conflicts order by time desc, id limit ?', limit).map((row) => ({
      id: String(row['id']),
      key: String(row['key']) as Key,
      winner: String(row['winner']),
      loser: String(row['loser']),
      file: row['file'] === null ? null : String(row['file']),
      time: Number(row['time']),
    }));
  }

  conflictCount(): number {
    return Number(this.#get('select count(*) as n from conflicts')?.['n']);
  }

  /** Somebody has seen it: it is listed no more, also where the log is read again. */
  dismissConflict(id: string): void {
    this.#run('delete from conflicts where id = ?', id);
    this.#run('insert into dismissed values (?) on conflict do nothing', id);
  }

  isDismissed(id: string): boolean {
    return this.#get('select 1 from dismissed where id = ?', id) !== undefined;
  }

  /** False where the conflict is already listed (a replay). */
  putConflict(conflict: Conflict): boolean {
    const { id, key, winner, loser, file, time } = conflict;
    return this.#run('insert into conflicts values (?, ?, ?, ?, ?, ?) on conflict do nothing', id, key, winner, loser, file, time) > 0;
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare(sql)));
    return statement;
  }

  #get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#guarded(() => this.#prepare(sql).get(...values));
  }

  #all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#guarded(() => this.#prepare(sql).all(...values));
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return this.#guarded(() => Number(this.#prepare(sql).run(...values).changes));
  }

  #guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0;
      if (code === 13)
        throw new DocbusError('disk_full', `The disk of the state directory is full; free some space. Nothing is lost.`, { cause: error });
      if (code === 10 || code === 14)
        throw new DocbusError('disk_failed', `The manifest cannot be read or written; check the disk of the state directory.`, {
          cause: error,
        });
      if (code !== 1 && isCorruption(error)) throw this.damaged(error);
      throw error;
    }
  }

  /** What to throw where the manifest's content is not what was recorded. The next start sets it aside. */
  damaged(cause: unknown): DocbusError {
    markDamaged(this.#directory);
    return new DocbusError(
      'manifest_corrupt',
      `The manifest in ${this.#directory} is damaged; start the agent again: it sets the file aside and rebuilds it from the log.`,
      { cause },
    );
  }
}

/** The hash by which a set of vector ids is remembered. */
export function idsHashOf(ids: readonly string[]): string {
  return createHash('sha256').update(ids.toSorted().join('\n')).digest('hex');
}

function toRecorded(row: Row): Recorded {
  return {
    key: String(row['key']) as Key,
    version: { revision: Number(row['revision']), replica: String(row['replica']) },
    state: row['state'] as Stamp['state'],
    hash: String(row['hash']),
    base: JSON.parse(String(row['base'])) as Base,
    content: row['content'] === null ? null : (JSON.parse(String(row['content'])) as Content),
    time: Number(row['time']),
    applied: row['applied'] === 1,
    logged: row['logged'] !== 0,
  };
}

function toIntent(row: Row): Intent {
  return {
    key: String(row['key']) as Key,
    state: row['state'] as Intent['state'],
    hash: String(row['hash']),
    content: row['content'] === null ? null : (JSON.parse(String(row['content'])) as Content),
    revision: Number(row['revision']),
  };
}

function toQuarantined(row: Row): Quarantined {
  return {
    id: String(row['id']),
    key: row['key'] === null ? null : String(row['key']),
    code: row['code'] as ErrorCode,
    message: String(row['message']),
    time: Number(row['time']),
    change: row['change'] === null ? null : (JSON.parse(String(row['change'])) as Change),
    packed: (row['packed'] as Uint8Array | null) ?? undefined,
  };
}
