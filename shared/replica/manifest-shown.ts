// What is shown to people: deletions that wait for them, changes that could not be applied, and conflicts.
import type { Change, ErrorCode, Key } from '@docbus/core';
import type { ManifestStore, Row } from './manifest-store.ts';

export type Held = { readonly key: Key; readonly reason: string; readonly since: number; readonly approved: boolean };
export type Quarantined = {
  readonly id: string;
  readonly key: string | null;
  readonly code: ErrorCode;
  readonly message: string;
  readonly time: number;
  readonly change: Change | null;
  readonly packed: Uint8Array | undefined;
  /** false where the log that it came from is gone, and it was not met again */
  readonly logged: boolean;
};
export type Conflict = {
  readonly id: string;
  readonly key: Key;
  readonly winner: string;
  readonly loser: string;
  readonly file: string | null;
  readonly time: number;
};

export type Shown = ReturnType<typeof createShown>;

export function createShown({ get, all, run }: ManifestStore) {
  return {
    held(): readonly Held[] {
      return all('select * from held order by key').map((row) => ({
        key: String(row['key']) as Key,
        reason: String(row['reason']),
        since: Number(row['since']),
        approved: row['approved'] === 1,
      }));
    },

    /** Those that still wait for a person. */
    heldCount(): number {
      return Number(get('select count(*) as n from held where approved = 0')?.['n']);
    },

    putHeld(held: Held): void {
      run(
        'insert into held values (?, ?, ?, ?) on conflict do update set reason = excluded.reason, approved = excluded.approved',
        held.key,
        held.reason,
        held.since,
        held.approved ? 1 : 0,
      );
    },

    dropHeld(key: Key): void {
      run('delete from held where key = ?', key);
    },

    quarantined(): readonly Quarantined[] {
      return all('select id, key, code, message, time, change, null as packed, logged from quarantine order by time, id').map(
        toQuarantined,
      );
    },

    quarantinedCount(): number {
      return Number(get('select count(*) as n from quarantine')?.['n']);
    },

    quarantinedById(id: string): Quarantined | undefined {
      const row = get('select * from quarantine where id = ?', id);
      return row === undefined ? undefined : toQuarantined(row);
    },

    quarantinedOf(key: Key): readonly Quarantined[] {
      return all('select * from quarantine where key = ? order by time, id', key).map(toQuarantined);
    },

    putQuarantine(item: Quarantined): void {
      run(
        'insert or replace into quarantine values (?, ?, ?, ?, ?, ?, ?, ?)',
        item.id,
        item.key,
        item.code,
        item.message,
        item.time,
        item.change === null ? null : JSON.stringify(item.change),
        item.packed ?? null,
        item.logged ? 1 : 0,
      );
    },

    /** Records that could not be read at all; whoever reads the log again meets them again. */
    dropUnreadable(): void {
      run('delete from quarantine where change is null');
    },

    dropQuarantine(id: string): void {
      run('delete from quarantine where id = ?', id);
    },

    /** The newest first. */
    conflicts(limit = Number.MAX_SAFE_INTEGER): readonly Conflict[] {
      return all('select * from conflicts order by time desc, id limit ?', limit).map((row) => ({
        id: String(row['id']),
        key: String(row['key']) as Key,
        winner: String(row['winner']),
        loser: String(row['loser']),
        file: row['file'] === null ? null : String(row['file']),
        time: Number(row['time']),
      }));
    },

    conflictCount(): number {
      return Number(get('select count(*) as n from conflicts')?.['n']);
    },

    /** Somebody has seen it: it is listed no more, also where the log is read again. */
    dismissConflict(id: string): void {
      run('delete from conflicts where id = ?', id);
      run('insert into dismissed values (?) on conflict do nothing', id);
    },

    isDismissed(id: string): boolean {
      return get('select 1 from dismissed where id = ?', id) !== undefined;
    },

    /** False where the conflict is already listed (a replay). */
    putConflict(conflict: Conflict): boolean {
      const { id, key, winner, loser, file, time } = conflict;
      return run('insert into conflicts values (?, ?, ?, ?, ?, ?) on conflict do nothing', id, key, winner, loser, file, time) > 0;
    },
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
    logged: row['logged'] === 1,
  };
}
