// Rows of AnythingLLM's `workspace_documents`, one membership for each (workspace, docpath). Neither is indexed there, so every
// look is one pass over the table (some 50 ms at 100,000 rows): callers ask for many at once.
import type { DatabaseSync } from 'node:sqlite';
import { isDocbusError, parseDocPath, reasonOf, type DocPath, type MembershipCopy, type Slug } from '@docbus/core';
import type { MembershipRefusal, MembershipRow, MembershipWrite, Problem } from './port.ts';
import type { VectorRows } from './vector-rows.ts';
import { slugOf, workspaceIds } from './workspaces.ts';

const select = `select w.slug, d.docpath, d.docId, d.pinned from workspace_documents d join workspaces w on w.id = d.workspaceId`;
const order = 'order by w.slug, d.docpath, d.docId';

/** slug, docpath, docId, pinned */
type Row = [string, string, string, number | null];

/** Calls back after the read lock is given back: what the callbacks do may take its time. Sorted copies lie in a temporary table meanwhile, which spares the heap. */
export function eachMembership(database: DatabaseSync, row: (row: MembershipRow) => void, problem: (problem: Problem) => void): void {
  database.exec(`drop table if exists temp.look; create temp table look as ${select} ${order}`);
  try {
    const statement = database.prepare('select * from temp.look order by rowid');
    statement.setReturnArrays(true);
    const group = groupRows(row, problem);
    for (const values of statement.iterate()) group.add(values as unknown as Row);
    group.end();
  } finally {
    database.exec('drop table if exists temp.look');
  }
}

/**
 * Ids only grow (AUTOINCREMENT): rows that went and came again have greater ones, so that their number and the greatest that was ever given
 * tell, also of rows that came and went since the last look. Answered from an index; the rows themselves are large.
 */
export function membershipsMark(database: DatabaseSync): string {
  const row = database
    .prepare(
      `select (select count(*) from workspace_documents) as rows, (select seq from sqlite_sequence where name = 'workspace_documents') as newest,
       (select json_group_array(id || ' ' || slug) from workspaces) as workspaces`,
    )
    .get();
  return JSON.stringify(row);
}

export function pinsMark(database: DatabaseSync): string {
  return JSON.stringify(
    database
      .prepare('select total(pinned) as pins, total(id * pinned) as ids, total(id * id * pinned) as squares from workspace_documents')
      .get(),
  );
}

export function membershipsOf(database: DatabaseSync, paths: readonly DocPath[]): readonly MembershipRow[] {
  return paths.length === 0 ? [] : selectRows(database, 'where d.docpath in (select value from json_each(?))', JSON.stringify(paths));
}

export function membershipsIn(database: DatabaseSync, slug: Slug): readonly MembershipRow[] {
  return selectRows(database, 'where w.slug = ?', slug);
}

export function membershipsHolding(database: DatabaseSync, docIds: readonly string[]): readonly MembershipRow[] {
  return docIds.length === 0 ? [] : selectRows(database, 'where d.docId in (select value from json_each(?))', JSON.stringify(docIds));
}

function selectRows(database: DatabaseSync, where: string, value: string): readonly MembershipRow[] {
  const statement = database.prepare(`${select} ${where} ${order}`);
  statement.setReturnArrays(true);
  const found: MembershipRow[] = [];
  const group = groupRows(
    (row) => found.push(row),
    () => {},
  );
  for (const values of statement.all(value)) group.add(values as unknown as Row);
  group.end();
  return found;
}

/** Gathers consecutive rows of one membership. */
function groupRows(row: (row: MembershipRow) => void, problem: (problem: Problem) => void): { add(values: Row): void; end(): void } {
  let current: { slugText: string; pathText: string; slug: Slug; path: DocPath; copies: MembershipCopy[] } | undefined;
  let skipped: string | undefined;
  const end = (): void => {
    if (current !== undefined) row({ slug: current.slug, path: current.path, copies: current.copies });
    current = undefined;
  };
  return {
    add([slugText, pathText, docId, pinned]) {
      const copy = { docId, pinned: pinned === 1 };
      if (current !== undefined && current.pathText === pathText && current.slugText === slugText) {
        current.copies.push(copy);
        return;
      }
      const name = `${slugText}/${pathText}`;
      if (skipped === name) return;
      end();
      const slug = slugOf(slugText);
      try {
        if (slug === undefined) throw new Error('its workspace has a slug that cannot be replicated');
        current = { slugText, pathText, slug, path: parseDocPath(pathText), copies: [copy] };
      } catch (error) {
        if (slug !== undefined && !isDocbusError(error, 'path_refused')) throw error;
        skipped = name;
        problem({ name, reason: reasonOf(error) });
      }
    },
    end,
  };
}

export type MembershipWriter = {
  readonly database: DatabaseSync;
  readonly vectorRows: VectorRows;
  readonly now: number;
  /** A slice ends after so many written rows: the write lock must be short. */
  readonly rowsMax: number;
};

export type MembershipSlice = { readonly done: number; readonly refused: readonly MembershipRefusal[] };

type Stored = { readonly id: number; readonly docId: string; readonly pinned: boolean };

/** Writes the first of `writes` inside the caller's transaction; `done` tells how many were dealt with, at least one. */
export function writeMemberships(writer: MembershipWriter, writes: readonly MembershipWrite[]): MembershipSlice {
  const { database, rowsMax } = writer;
  const workspaces = workspaceIds(database);
  const stored = storedRows(database, writes);
  const statements = prepareStatements(database);
  const refused: MembershipRefusal[] = [];
  let done = 0;
  let rows = 0;
  for (const write of writes) {
    if (rows >= rowsMax) break;
    done++;
    const workspaceId = workspaces.get(write.slug);
    const before = stored.get(rowKey(workspaceId, write.path)) ?? [];
    if (sameCopies(before, write.copies)) continue;
    if (workspaceId === undefined) refused.push({ ...write, reason: 'no_workspace' });
    else if (!sameCopies(before, write.expected) || hasOtherVectors(writer, write, before)) refused.push({ ...write, reason: 'changed' });
    else if (write.copies.some(({ docId }) => isTaken(statements, docId, before))) refused.push({ ...write, reason: 'docid_taken' });
    else rows += writeOne(writer, statements, workspaceId, write, before);
  }
  return { done, refused };
}

type Statements = ReturnType<typeof prepareStatements>;

function prepareStatements(database: DatabaseSync) {
  return {
    taken: database.prepare('select 1 from workspace_documents where docId = ?'),
    remove: database.prepare('delete from workspace_documents where id = ?'),
    pin: database.prepare('update workspace_documents set pinned = ? where id = ?'),
    insert: database.prepare(
      'insert into workspace_documents (docId, filename, docpath, workspaceId, metadata, createdAt, lastUpdatedAt, pinned) values (?, ?, ?, ?, ?, ?, ?, ?)',
    ),
  };
}

/**
 * AnythingLLM embeds a watched document again without changing its row: should it have done so since the vectors were removed, deleting
 * the rows of the new ones would leave these in Chroma, where nobody could ever find them.
 */
function hasOtherVectors({ vectorRows }: MembershipWriter, { copies, goneVectorIds }: MembershipWrite, before: readonly Stored[]): boolean {
  if (goneVectorIds === undefined) return false;
  const gone = before.flatMap(({ docId }) => (copies.some((copy) => copy.docId === docId) ? [] : [docId]));
  return vectorRows.find(gone).some(({ vectorId }) => !goneVectorIds.has(vectorId));
}

/** Returns how many rows were written. */
function writeOne(
  writer: MembershipWriter,
  { remove, pin, insert }: Statements,
  workspaceId: number,
  write: MembershipWrite,
  before: readonly Stored[],
): number {
  const { path, copies, metadata } = write;
  const wanted = new Map(copies.map(({ docId, pinned }) => [docId, pinned]));
  const gone = before.filter(({ docId }) => !wanted.has(docId));
  let rows = removeVectors(
    writer.database,
    writer.vectorRows,
    gone.map(({ docId }) => docId),
  );
  for (const { id } of gone) rows += Number(remove.run(id).changes);

  for (const { id, docId, pinned } of before) {
    const wantedPin = wanted.get(docId);
    if (wantedPin !== undefined && wantedPin !== pinned) rows += Number(pin.run(wantedPin ? 1n : 0n, id).changes);
    wanted.delete(docId);
  }

  const filename = path.slice(path.indexOf('/') + 1);
  const date = BigInt(Math.trunc(writer.now));
  for (const [docId, pinned] of wanted)
    rows += Number(insert.run(docId, filename, path, workspaceId, metadata, date, date, pinned ? 1n : 0n).changes);
  return rows;
}

/** Deletes the rows of document_vectors of some docIds; returns how many. */
export function removeVectors(database: DatabaseSync, vectorRows: VectorRows, docIds: readonly string[]): number {
  if (docIds.length === 0) return 0;
  const rows = vectorRows.find(docIds);
  const remove = database.prepare('delete from document_vectors where id = ?');
  for (const { id } of rows) remove.run(id);
  return rows.length;
}

function storedRows(database: DatabaseSync, writes: readonly MembershipWrite[]): ReadonlyMap<string, Stored[]> {
  const statement = database.prepare(
    'select workspaceId, docpath, id, docId, pinned from workspace_documents where docpath in (select value from json_each(?))',
  );
  const stored = new Map<string, Stored[]>();
  for (const row of statement.all(JSON.stringify([...new Set(writes.map(({ path }) => path))]))) {
    const key = rowKey(Number(row['workspaceId']), String(row['docpath']));
    const list = stored.get(key) ?? [];
    list.push({ id: Number(row['id']), docId: String(row['docId']), pinned: row['pinned'] === 1 });
    stored.set(key, list);
  }
  return stored;
}

const rowKey = (workspaceId: number | undefined, path: string): string => `${workspaceId}/${path}`;

function sameCopies(rows: readonly MembershipCopy[], copies: readonly MembershipCopy[]): boolean {
  if (rows.length !== copies.length) return false;
  const pins = new Map(copies.map(({ docId, pinned }) => [docId, pinned]));
  return pins.size === rows.length && rows.every(({ docId, pinned }) => pins.get(docId) === pinned);
}

/** docId is unique in the table: a row of another workspace or path that has it leaves no room for ours. */
function isTaken({ taken }: Statements, docId: string, own: readonly Stored[]): boolean {
  if (own.some((row) => row.docId === docId)) return false;
  return taken.get(docId) !== undefined;
}
