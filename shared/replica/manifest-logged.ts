// Which entries the log holds as its newest record of their key: what it lacks is appended again.
import type { Key } from '@docbus/core';
import { toRecorded, type Recorded } from './manifest-entries.ts';
import type { ManifestStore } from './manifest-store.ts';

export type Logged = ReturnType<typeof createLogged>;

export function createLogged({ get, all, run }: ManifestStore) {
  return {
    setLogged(key: Key, logged: boolean): void {
      run('update entries set logged = ? where key = ? and logged <> ?', logged ? 1 : 0, key, logged ? 1 : 0);
    },

    /** Appended and acknowledged, and not yet read back: a log can lose what it has acknowledged (a broker without others, and the power goes). */
    setSent(key: Key): void {
      run('update entries set logged = 2 where key = ?', key);
    },

    sent(): readonly Recorded[] {
      return all('select * from entries where logged = 2').map(toRecorded);
    },

    /** false where the log is a new one that holds nothing yet: every entry, and what waits in quarantine, has to be found in it or appended to it. */
    setAllLogged(logged: boolean): void {
      run('update entries set logged = ?', logged ? 1 : 0);
      run('update quarantine set logged = ?', logged ? 1 : 0);
    },

    /** Entries that the log's newest record does not agree with, at most `limit`; `replica` narrows to one author. */
    unlogged(limit: number, replica?: string): readonly Recorded[] {
      // rank: a reader should meet workspaces and documents before what depends on them
      const order = `order by case kind when 'workspace' then 0 when 'document' then 1 when 'embedding' then 2 else 3 end, key limit ?`;
      const rows =
        replica === undefined
          ? all(`select * from entries where logged = 0 ${order}`, limit)
          : all(`select * from entries where logged = 0 and replica = ? ${order}`, replica, limit);
      return rows.map(toRecorded);
    },

    hasLogged(): boolean {
      return get('select 1 from entries where logged <> 0 limit 1') !== undefined;
    },

    unloggedCount(): number {
      return Number(get('select count(*) as n from entries where logged = 0')?.['n']);
    },
  };
}
