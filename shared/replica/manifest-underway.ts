// What is on its way: changes into the log (the outbox), and what is about to be put on disk (intents).
import type { Change, Content, Key } from '@docbus/core';
import type { ManifestStore, Row } from './manifest-store.ts';

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

export type Underway = ReturnType<typeof createUnderway>;

export function createUnderway({ get, all, run }: ManifestStore) {
  return {
    outbox(): readonly Outgoing[] {
      return all('select change, packed from outbox order by seq').map((row) => ({
        change: JSON.parse(String(row['change'])) as Change,
        packed: (row['packed'] as Uint8Array | null) ?? undefined,
      }));
    },

    putOutbox(outgoing: readonly Outgoing[]): void {
      for (const [seq, { change, packed }] of outgoing.entries())
        run('insert into outbox (key, seq, change, packed) values (?, ?, ?, ?)', change.key, seq, JSON.stringify(change), packed ?? null);
    },

    outboxCount(): number {
      return Number(get('select count(*) as n from outbox')?.['n']);
    },

    clearOutbox(): void {
      run('delete from outbox');
    },

    intentsOf(key: Key): readonly Intent[] {
      return all('select * from intents where key = ?', key).map(toIntent);
    },

    intents(): readonly Intent[] {
      return all('select * from intents order by key').map(toIntent);
    },

    putIntent(intent: Intent): void {
      run(
        'insert or replace into intents values (?, ?, ?, ?, ?)',
        intent.key,
        intent.state,
        intent.hash,
        intent.content === null ? null : JSON.stringify(intent.content),
        intent.revision,
      );
    },

    dropIntents(key: Key): void {
      run('delete from intents where key = ?', key);
      run('delete from landed where key = ?', key);
    },

    /**
     * A change that was partly put on disk and is recorded nowhere any more: an edit made on top of it must have a higher revision. What
     * lies here of it (`hash`, '' for a deletion) is no edit, but that revision itself.
     */
    noteMet(key: Key, { revision, hash }: Pick<Intent, 'revision' | 'hash'>): void {
      run(
        'insert into met values (?, ?, ?) on conflict do update set revision = excluded.revision, hash = excluded.hash where excluded.revision >= met.revision',
        key,
        revision,
        hash,
      );
    },

    met(key: Key): Pick<Intent, 'revision' | 'hash'> | undefined {
      const row = get('select revision, hash from met where key = ?', key);
      return row === undefined ? undefined : { revision: Number(row['revision']), hash: String(row['hash']) };
    },

    /** What an intent was about is on disk for good: people see it from now on, and where it is not found later, somebody removed it. */
    markLanded(key: Key, hash: string): void {
      run('insert or ignore into landed select key, hash from intents where key = ? and hash = ?', key, hash);
    },

    /** We took it away again ourselves. */
    dropLanded(key: Key): void {
      run('delete from landed where key = ?', key);
    },

    /** A reset took all rows: that these are gone is nobody's removal of them. */
    dropLandedRows(): void {
      run("delete from landed where key > 'membership/' and key < 'membership0'");
    },

    /** False where we were about to remove it ourselves. */
    hasLanded(key: Key, hash: string): boolean {
      const removal = `select 1 from intents i where i.key = landed.key and i.state = 'deleted'`;
      return get(`select 1 from landed where key = ? and hash = ? and not exists (${removal})`, key, hash) !== undefined;
    },
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
