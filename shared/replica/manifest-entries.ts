// The manifest's entries: what was last recorded of each key, and the digest over all of them.
import {
  parseKey,
  updateDigest,
  type Base,
  type Content,
  type Digest,
  type DocPath,
  type Entry,
  type Key,
  type Kind,
  type Slug,
  type Stamp,
} from '@docbus/core';
import type { ManifestStore, Row } from './manifest-store.ts';

/** An entry with what this replica knows beside it. `applied`: it is on disk here. `logged`: the log's newest record of the key says the same, as far as is known. */
export type Recorded = Entry & {
  readonly content: Content | null;
  readonly time: number;
  readonly applied: boolean;
  readonly logged: boolean;
};
export type KindCounts = Readonly<Record<Kind, { readonly present: number; readonly deleted: number; readonly unapplied: number }>>;

export type Entries = ReturnType<typeof createEntries>;

/** `digest` is kept up here; whoever owns it writes it down and takes it back with the transaction. */
export function createEntries({ prepare, get, all, run }: ManifestStore, digest: { value: Digest }) {
  const find = (key: Key): Recorded | undefined => {
    const row = get('select * from entries where key = ?', key);
    return row === undefined ? undefined : toRecorded(row);
  };
  return {
    entry: find,

    /** Inserts or replaces an entry and updates the digest. What was sent (`setSent`) and is recorded again as it is has still to be read back. */
    record(entry: Recorded): void {
      const before = find(entry.key);
      digest.value = updateDigest(digest.value, entry.key, before, entry);
      const parsed = parseKey(entry.key);
      run(
        `insert into entries values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do update set
         revision = excluded.revision, replica = excluded.replica, state = excluded.state, hash = excluded.hash,
         base = excluded.base, content = excluded.content,
         time = excluded.time, applied = excluded.applied,
         logged = iif(entries.logged = 2 and entries.revision = excluded.revision and entries.replica = excluded.replica, 2, excluded.logged)`,
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
      run('delete from met where key = ? and revision <= ?', entry.key, entry.version.revision); // the entry says as much
    },

    setApplied(key: Key, applied: boolean): void {
      run('update entries set applied = ? where key = ?', applied ? 1 : 0, key);
    },

    membershipsOf(path: DocPath): readonly Recorded[] {
      return all(`select * from entries where kind = 'membership' and path = ? order by slug`, path).map(toRecorded);
    },

    membershipsIn(slug: Slug): readonly Recorded[] {
      return all(`select * from entries where kind = 'membership' and slug = ? order by path`, slug).map(toRecorded);
    },

    /** Streams (key, hash) of present entries of a kind that are on disk here; synchronous, for a survey. */
    *presentHashes(kind: Kind): Generator<{ readonly key: Key; readonly hash: string }> {
      const statement = prepare(
        `select key, hash from entries where key > ? and key < ? and state = 'present' and applied = 1 order by key`,
      );
      for (const row of statement.iterate(`${kind}/`, `${kind}0`)) yield { key: String(row['key']) as Key, hash: String(row['hash']) };
    },

    /** True where an entry of the kind is recorded as present. */
    hasPresent(kind: Kind): boolean {
      return get(`select 1 from entries where key > ? and key < ? and state = 'present' limit 1`, `${kind}/`, `${kind}0`) !== undefined;
    },

    /** Streams the present memberships that are on disk here, by slug and then path (UTF-8 bytes); synchronous, for a survey. */
    *presentMemberships(): Generator<{ readonly slug: Slug; readonly path: DocPath; readonly hash: string }> {
      const statement = prepare(
        `select slug, path, hash from entries where kind = 'membership' and state = 'present' and applied = 1 order by slug, path`,
      );
      statement.setReturnArrays(true);
      for (const row of statement.iterate()) {
        const [slug, path, hash] = row as unknown as [Slug, DocPath, string];
        yield { slug, path, hash };
      }
    },

    /** Memberships that are recorded but not on disk here: they wait for their workspace, document or embedding. */
    unappliedMemberships(): readonly Recorded[] {
      return all(`select * from entries where kind = 'membership' and state = 'present' and applied = 0 order by key`).map(toRecorded);
    },

    /** Chunks of all present embeddings. */
    chunkCount(): number {
      return Number(
        get(
          `select coalesce(sum(json_extract(content, '$.chunks')), 0) as n from entries where kind = 'embedding' and state = 'present'`,
        )?.['n'],
      );
    },

    *entries(): Generator<Recorded> {
      for (const row of prepare('select * from entries order by key').iterate()) yield toRecorded(row);
    },

    counts(): KindCounts {
      const none = { present: 0, deleted: 0, unapplied: 0 };
      const counts: Record<Kind, { present: number; deleted: number; unapplied: number }> = {
        document: { ...none },
        embedding: { ...none },
        workspace: { ...none },
        membership: { ...none },
      };
      for (const row of all(`select kind, state, applied, count(*) as n from entries group by kind, state, applied`)) {
        const count = counts[String(row['kind']) as Kind];
        if (row['state'] === 'deleted') count.deleted += Number(row['n']);
        else count.present += Number(row['n']);
        if (row['state'] === 'present' && row['applied'] === 0) count.unapplied += Number(row['n']);
      }
      return counts;
    },
  };
}

export function toRecorded(row: Row): Recorded {
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
