// The rows of AnythingLLM's own SQLite database that are replicated, read and written beside it while it runs.
// Reads are short, writes are short transactions that begin immediately, and everything is synchronous: no lock lives across an await.
import type { Clock } from '@docbus/runtime/clock.ts';
import { type Connection, openDatabase } from './database.ts';
import {
  eachMembership,
  membershipsHolding,
  membershipsIn,
  membershipsMark,
  membershipsOf,
  pinsMark,
  removeVectors,
  writeMemberships,
} from './memberships.ts';
import type { MembershipRefusal, MembershipWrite, Records, RecordsLook, VectorIdsAfter } from './port.ts';
import { readWorkspace, readWorkspaces, writeWorkspace } from './workspaces.ts';

/** Written rows per transaction: some 100 ms on a slow disk. */
const ROWS_MAX = 5_000;

export type RecordsOptions = {
  readonly databasePath: string;
  readonly clock: Clock;
  /** How long to wait for a lock of AnythingLLM's; the wait blocks this process. */
  readonly busyMs: number;
};

export function openRecords(options: RecordsOptions): Records {
  const { clock } = options;
  const file = openDatabase(options);
  const { read, write } = file;
  /** Outside a transaction, see createVectorRows. */
  const refreshVectorRows = (): void => read(({ vectorRows }) => vectorRows.refresh());

  return {
    version: () => read(({ database, opening }) => `${opening}-${String(database.prepare('pragma data_version').get()?.['data_version'])}`),

    look: () => read(({ database }) => look(database)),
    workspaces: () => read(({ database }) => readWorkspaces(database)),
    workspace: (slug) => read(({ database }) => readWorkspace(database, slug)),
    membershipsMark: () => read(({ database }) => membershipsMark(database)),
    pinsMark: () => read(({ database }) => pinsMark(database)),
    eachMembership: (row, problem) => read(({ database }) => eachMembership(database, row, problem)),
    membershipsOf: (paths) => read(({ database }) => membershipsOf(database, paths)),
    membershipsIn: (slug) => read(({ database }) => membershipsIn(database, slug)),

    vectorIds: (docIds) =>
      read(({ vectorRows }) => {
        vectorRows.refresh();
        const ids = new Map<string, string[]>(docIds.map((docId) => [docId, []]));
        for (const { docId, vectorId } of vectorRows.find(docIds)) ids.get(docId)?.push(vectorId);
        return ids;
      }),

    vectorIdsAfter: (id) => read(({ database }) => vectorIdsAfter(database, id)),
    membershipsHolding: (docIds) => read(({ database }) => membershipsHolding(database, docIds)),

    strayVectorIds: () => strayVectorIds(read),

    putWorkspace: (slug, content) => write(({ database }) => writeWorkspace(database, slug, content, clock.now())),

    removeWorkspace: (slug) => {
      refreshVectorRows();
      while (!write((connection) => removeSlice(connection, slug)));
    },

    setMemberships: (writes) => {
      const refused: MembershipRefusal[] = [];
      let rest: readonly MembershipWrite[] = writes;
      if (rest.length > 0) refreshVectorRows();
      while (rest.length > 0) {
        const slice = write(({ database, vectorRows }) =>
          writeMemberships({ database, vectorRows, now: clock.now(), rowsMax: ROWS_MAX }, rest),
        );
        refused.push(...slice.refused);
        rest = rest.slice(slice.done);
      }
      return refused;
    },

    addVectorIds: (rows) => {
      if (rows.length > 0) refreshVectorRows();
      for (const slice of slices(rows))
        write(({ database, vectorRows }) => {
          const there = new Set(vectorRows.find(slice.map(({ docId }) => docId)).map(pairKey));
          const insert = database.prepare('insert into document_vectors (docId, vectorId, createdAt, lastUpdatedAt) values (?, ?, ?, ?)');
          const date = BigInt(Math.trunc(clock.now()));
          for (const row of slice) {
            if (there.has(pairKey(row))) continue;
            insert.run(row.docId, row.vectorId, date, date);
            there.add(pairKey(row));
          }
        });
    },

    removeVectorIds: (rows) => {
      if (rows.length > 0) refreshVectorRows();
      for (const slice of slices(rows))
        write(({ database, vectorRows }) => {
          const unwanted = new Set(slice.map(pairKey));
          const remove = database.prepare('delete from document_vectors where id = ?');
          for (const row of vectorRows.find(slice.map(({ docId }) => docId))) if (unwanted.has(pairKey(row))) remove.run(row.id);
        });
    },

    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

function look(database: Connection['database']): RecordsLook {
  const number = (sql: string): number => Number(database.prepare(sql).get()?.['value'] ?? 0);
  const setting = (label: string): number | null => {
    const value = database.prepare('select value from system_settings where label = ?').get(label)?.['value'];
    if (typeof value !== 'string' || value.trim() === '') return null;
    return Number.isFinite(Number(value)) ? Number(value) : null;
  };
  return {
    eventSequence: number("select seq as value from sqlite_sequence where name = 'event_logs'"),
    resetEvent: number("select max(id) as value from event_logs where event = 'workspace_vectors_reset'"),
    chunkSize: setting('text_splitter_chunk_size'),
    chunkOverlap: setting('text_splitter_chunk_overlap'),
  };
}

/** A slice holds a read lock for some 15 ms. */
const LOOK_ROWS = 50_000;

function vectorIdsAfter(database: Connection['database'], after: number): VectorIdsAfter {
  const end = Number(database.prepare("select seq from sqlite_sequence where name = 'document_vectors'").get()?.['seq'] ?? 0);
  // Somebody set the sequence back: ids may come again.
  const from = end < after ? 0 : after;
  const last = Math.min(from + LOOK_ROWS, end);
  const ids = new Map<string, string[]>();
  const rows = database.prepare('select docId, vectorId from document_vectors where id > ? and id <= ? order by id');
  for (const { docId, vectorId } of rows.iterate(from, last)) {
    const known = ids.get(String(docId));
    if (known === undefined) ids.set(String(docId), [String(vectorId)]);
    else known.push(String(vectorId));
  }
  return { ids, last, more: last < end };
}

function strayVectorIds(read: <T>(body: (connection: Connection) => T) => T): { docId: string; vectorId: string }[] {
  const strays: { docId: string; vectorId: string }[] = [];
  const last = read(({ database }) => Number(database.prepare('select max(id) as last from document_vectors').get()?.['last'] ?? 0));
  for (let from = 0; from < last; from += LOOK_ROWS)
    read(({ database }) => {
      const rows = database
        .prepare(
          `select docId, vectorId from document_vectors v where v.id > ? and v.id <= ? and substr(vectorId, 15, 1) = '5'
           and not exists (select 1 from workspace_documents d where d.docId = v.docId)`,
        )
        .all(from, from + LOOK_ROWS);
      for (const row of rows) strays.push({ docId: String(row['docId']), vectorId: String(row['vectorId']) });
    });
  return strays;
}

/** One bounded step of removing a workspace; true when its own row is gone. */
function removeSlice({ database, vectorRows }: Connection, slug: string): boolean {
  const workspaceId = database.prepare('select id from workspaces where slug = ?').get(slug)?.['id'];
  if (workspaceId === undefined) return true;
  const documents = database.prepare('select id, docId from workspace_documents where workspaceId = ? limit 500').all(Number(workspaceId));
  const remove = database.prepare('delete from workspace_documents where id = ?');
  let rows = 0;
  for (const { id, docId } of documents) {
    rows += removeVectors(database, vectorRows, [String(docId)]) + 1;
    remove.run(Number(id));
    if (rows >= ROWS_MAX) return false;
  }
  if (documents.length === 500) return false;
  database.prepare('delete from workspaces where id = ?').run(Number(workspaceId));
  return true;
}

const pairKey = ({ docId, vectorId }: { readonly docId: string; readonly vectorId: string }): string => `${docId} ${vectorId}`;

function* slices<T>(rows: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < rows.length; from += ROWS_MAX) yield rows.slice(from, from + ROWS_MAX);
}
