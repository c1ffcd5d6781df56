// Marks, so that nothing is looked at twice in vain: of files their stat signatures, of docIds the embedding that their vectors hold.
import { createHash } from 'node:crypto';
import type { DocPath, Key } from '@docbus/core';
import type { ManifestStore } from './manifest-store.ts';
import type { Signature } from './port.ts';

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

/** Vectors of ours that are, or soon will be, in Chroma for a docId of a membership, and that nobody has looked at since. A docId may have them of several embeddings, one after the other. */
export type FreshFill = { readonly docId: string; readonly key: Key; readonly hash: string; readonly chunks: number };

/** The hash by which a set of vector ids is remembered. */
export function idsHashOf(ids: readonly string[]): string {
  return createHash('sha256').update(ids.toSorted().join('\n')).digest('hex');
}

export type Marks = ReturnType<typeof createMarks>;

export function createMarks({ prepare, get, all, run }: ManifestStore) {
  return {
    file(place: Place, path: DocPath): FileMark | undefined {
      const row = get('select signature, hash from files where place = ? and path = ?', place, path);
      return row === undefined ? undefined : { signature: String(row['signature']) as Signature, hash: String(row['hash']) };
    },

    putFile(place: Place, path: DocPath, mark: FileMark): void {
      run(
        'insert into files values (?, ?, ?, ?) on conflict do update set signature = excluded.signature, hash = excluded.hash',
        place,
        path,
        mark.signature,
        mark.hash,
      );
    },

    dropFile(place: Place, path: DocPath): void {
      run('delete from files where place = ? and path = ?', place, path);
    },

    /** The marks of the files of one folder in name order, each beside the present entries. Without caches they are as if none was recorded. */
    *folderMarks(folder: string, { withCaches }: { readonly withCaches: boolean }): Generator<FolderMark> {
      const [columns, joins] = withCaches
        ? [
            'c.signature, iif(ee.hash is null, null, ee.hash is c.hash)',
            `left join files c on c.place = 'cache' and c.path = d.path
             left join entries ee on ee.key = 'embedding/' || d.path and ee.state = 'present'`,
          ]
        : ['null, null', ''];
      const statement = prepare(
        `select d.path, d.signature, de.hash is d.hash, ${columns} from files d ${joins}
         left join entries de on de.key = 'document/' || d.path and de.state = 'present'
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
    },

    /** Folders that have marks, sorted. */
    markedFolders(): readonly string[] {
      const folders: string[] = [];
      let after = '';
      for (;;) {
        const row = get(`select path from files where place = 'document' and path > ? order by path limit 1`, after);
        if (row === undefined) return folders;
        const path = String(row['path']);
        const folder = path.slice(0, path.indexOf('/'));
        folders.push(folder);
        after = `${folder}0`;
      }
    },

    /** Documents that are recorded as present and have no mark: a survey that compares with marks would never miss them. */
    unmarkedDocuments(): readonly DocPath[] {
      return all(
        `select e.path from entries e left join files f on f.place = 'document' and f.path = e.path
         where e.key > 'document/' and e.key < 'document0' and e.state = 'present' and f.path is null`,
      ).map((row) => String(row['path']) as DocPath);
    },

    fill(docId: string): Fill | undefined {
      const row = get('select hash, ids_hash from fills where doc_id = ?', docId);
      return row === undefined ? undefined : { docId, hash: String(row['hash']), idsHash: String(row['ids_hash']) };
    },

    putFill(fill: Fill): void {
      run(
        'insert into fills values (?, ?, ?) on conflict do update set hash = excluded.hash, ids_hash = excluded.ids_hash',
        fill.docId,
        fill.hash,
        fill.idsHash,
      );
    },

    dropFill(docId: string): void {
      run('delete from fills where doc_id = ?', docId);
    },

    /** Fills that AnythingLLM made and nobody has sampled since they were noted, in the order of their docIds, from the one behind `after`. */
    unsampledFills(max: number, after = ''): readonly Fill[] {
      return all('select * from unsampled_fills where doc_id > ? order by doc_id limit ?', after, max).map((row) => ({
        docId: String(row['doc_id']),
        hash: String(row['hash']),
        idsHash: String(row['ids_hash']),
      }));
    },

    putUnsampledFill({ docId, hash, idsHash }: Fill): void {
      run('insert or replace into unsampled_fills (doc_id, hash, ids_hash) values (?, ?, ?)', docId, hash, idsHash);
    },

    dropUnsampledFill({ docId, hash, idsHash }: Fill): void {
      run('delete from unsampled_fills where doc_id = ? and hash = ? and ids_hash = ?', docId, hash, idsHash);
    },

    freshFills(max: number): readonly FreshFill[] {
      return all('select * from sent_fills order by doc_id, hash limit ?', max).map((row) => ({
        docId: String(row['doc_id']),
        key: String(row['key']) as Key,
        hash: String(row['hash']),
        chunks: Number(row['chunks']),
      }));
    },

    putFreshFill({ docId, key, hash, chunks }: FreshFill): void {
      run('insert or replace into sent_fills (doc_id, hash, key, chunks) values (?, ?, ?, ?)', docId, hash, key, chunks);
    },

    dropFreshFill({ docId, hash }: Pick<FreshFill, 'docId' | 'hash'>): void {
      run('delete from sent_fills where doc_id = ? and hash = ?', docId, hash);
    },
  };
}
