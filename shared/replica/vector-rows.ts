// Finds the rows of document_vectors by docId. AnythingLLM has no index on it (one look costs 100 to 230 ms at two million rows),
// and the schema is not ours to change; so a temporary table of this connection holds, for each docId, between which ids its rows lie.
// It may hold too much, never too little: rows never change, and ids only grow (AUTOINCREMENT). Every row is checked when it is found.
import type { DatabaseSync } from 'node:sqlite';

/** Rows per slice of the first pass: a slice holds a read lock for some 15 ms. */
const SLICE = 50_000;
/** So many rows past the ranges are simply searched. */
const TAIL = 2_000;

export type VectorRow = { readonly id: number; readonly docId: string; readonly vectorId: string };

export type VectorRows = {
  /** Takes in the rows added since the last time, a slice at a time. Outside a transaction: what is rolled back must not be remembered. */
  refresh(): void;
  /** All rows of the docIds, in the order of their ids; also those added in the running transaction. */
  find(docIds: readonly string[]): readonly VectorRow[];
};

export function createVectorRows(database: DatabaseSync): VectorRows {
  database.exec(
    'create temp table if not exists vector_ranges (docId text not null, low integer not null, high integer not null, primary key (docId, low)) without rowid',
  );
  const sequence = database.prepare("select seq from sqlite_sequence where name = 'document_vectors'");
  const take = database.prepare(
    'insert into temp.vector_ranges select docId, min(id), max(id) from main.document_vectors where id > ? and id <= ? group by docId',
  );
  const inRanges = database.prepare(
    `select v.id, v.docId, v.vectorId from json_each(?) asked
     cross join temp.vector_ranges r on r.docId = asked.value
     cross join main.document_vectors v on v.id between r.low and r.high and v.docId = r.docId`,
  );
  const inTail = database.prepare(
    'select id, docId, vectorId from main.document_vectors where id > ? and docId in (select value from json_each(?))',
  );
  let seen = 0;

  return {
    refresh() {
      const last = Number(sequence.get()?.['seq'] ?? 0);
      if (last < seen) {
        // Somebody set the sequence back: ids may come again.
        database.exec('delete from temp.vector_ranges');
        seen = 0;
      }
      if (last - seen < TAIL) return;
      while (seen < last) {
        const to = Math.min(seen + SLICE, last);
        take.run(seen, to);
        seen = to;
      }
    },

    find(docIds) {
      if (docIds.length === 0) return [];
      const asked = JSON.stringify([...new Set(docIds)]);
      const rows = [...inRanges.all(asked), ...inTail.all(seen, asked)] as unknown as VectorRow[];
      return rows.sort((a, b) => a.id - b.id);
    },
  };
}
