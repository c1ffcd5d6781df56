// The manifest: what this replica last recorded, key -> version and hash, with the checkpoint and everything that must change
// together with them in one transaction. It never runs ahead (invariant 4): callers record only what is applied or appended.
import { join } from 'node:path';
import { emptyDigest, type Digest, type DocbusError } from '@docbus/core';
import { randomUuid, type Clock } from '@docbus/runtime/clock.ts';
import { watchPlace } from './lock.ts';
import { createEntries, type Entries } from './manifest-entries.ts';
import { createUnderway, type Underway } from './manifest-underway.ts';
import { createLogged, type Logged } from './manifest-logged.ts';
import { createMarks, type Marks } from './manifest-marks.ts';
import { createPayloads, type Payloads } from './manifest-payloads.ts';
import { openManifestDatabase } from './manifest-schema.ts';
import { createShown, type Shown } from './manifest-shown.ts';
import { createManifestStore } from './manifest-store.ts';

export type { KindCounts, Recorded } from './manifest-entries.ts';
export type { Intent, Outgoing } from './manifest-underway.ts';
export { idsHashOf, type FileMark, type Fill, type FolderMark, type FreshFill, type Place } from './manifest-marks.ts';
export type { Conflict, Held, Quarantined } from './manifest-shown.ts';

export type Manifest = Disposable & {
  /** Random id of this manifest: a lost state directory gets another one. */
  readonly instance: string;
  /** The name that a damaged manifest was given at opening, for the operator. */
  readonly setAside: string | undefined;
  readonly digest: Digest;
  /** Runs `work` in one transaction: all of it or nothing. Throws `disk_full` or `manifest_corrupt` where SQLite says so. */
  transaction<T>(work: () => T): T;
  meta(name: string): string | undefined;
  setMeta(name: string, value: string | undefined): void;
  /** What to throw where the manifest's content is not what was recorded. The next start sets it aside. */
  damaged(cause: unknown): DocbusError;
  /** Throws `state_removed` where the manifest's file is no longer in its place: what is recorded in it would be lost. */
  checkPlace(): void;
} & Entries &
  Logged &
  Payloads &
  Underway &
  Marks &
  Shown;

/** Opens or makes the manifest in the state directory; one that is damaged is set aside, and a new one begins. */
export function openManifest({ directory, clock }: { readonly directory: string; readonly clock: Clock }): Manifest {
  const { database, setAside } = openManifestDatabase(directory, clock.now());
  const store = createManifestStore(database, directory);
  const { get, run, exec, damaged } = store;

  const meta = (name: string): string | undefined => {
    const row = get('select value from meta where name = ?', name);
    return row === undefined ? undefined : String(row['value']);
  };
  const setMeta = (name: string, value: string | undefined): void => {
    if (value === undefined) run('delete from meta where name = ?', name);
    else run('insert into meta values (?, ?) on conflict do update set value = excluded.value', name, value);
  };
  const instance = meta('instance') ?? randomUuid(clock);
  setMeta('instance', instance);
  const digest = { value: (meta('digest') ?? emptyDigest) as Digest };

  const transaction = <T>(work: () => T): T => {
    const before = digest.value;
    exec('begin immediate');
    try {
      const result = work();
      if (digest.value !== before) setMeta('digest', digest.value);
      exec('commit');
      return result;
    } catch (error) {
      digest.value = before;
      if (database.isTransaction) database.exec('rollback');
      throw error;
    }
  };
  return {
    instance,
    setAside,
    get digest() {
      return digest.value;
    },
    transaction,
    meta,
    setMeta,
    damaged,
    checkPlace: watchPlace(join(directory, 'manifest.db'), directory),
    ...createEntries(store, digest),
    ...createLogged(store),
    ...createPayloads(store),
    ...createUnderway(store),
    ...createMarks(store),
    ...createShown(store),
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}
