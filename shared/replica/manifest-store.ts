// Statements of the manifest's database, prepared once, with SQLite's errors in our words.
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';
import { isCorruption, markDamaged } from './manifest-schema.ts';

export type Row = Record<string, unknown>;

/** All throw `disk_full`, `disk_failed` or `manifest_corrupt` where SQLite says so; only what `prepare` gives throws SQLite's own errors. */
export type ManifestStore = Disposable & {
  prepare(sql: string): StatementSync;
  get(sql: string, ...values: SQLInputValue[]): Row | undefined;
  all(sql: string, ...values: SQLInputValue[]): Row[];
  /** Returns how many rows it changed. */
  run(sql: string, ...values: SQLInputValue[]): number;
  exec(sql: string): void;
  /** What to throw where the manifest's content is not what was recorded. The next start sets it aside. */
  damaged(cause: unknown): DocbusError;
};

export function createManifestStore(database: DatabaseSync, directory: string): ManifestStore {
  const statements = new Map<string, StatementSync>();

  const damaged = (cause: unknown): DocbusError => {
    markDamaged(directory);
    return new DocbusError(
      'manifest_corrupt',
      `The manifest in ${directory} is damaged; start the agent again: it sets the file aside and rebuilds it from the log.`,
      { cause },
    );
  };
  const guarded = <T>(work: () => T): T => {
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
      if (code !== 1 && isCorruption(error)) throw damaged(error);
      throw error;
    }
  };
  const prepare = (sql: string): StatementSync => {
    let statement = statements.get(sql);
    if (statement === undefined) statements.set(sql, (statement = database.prepare(sql)));
    return statement;
  };
  return {
    prepare,
    get: (sql, ...values) => guarded(() => prepare(sql).get(...values)),
    all: (sql, ...values) => guarded(() => prepare(sql).all(...values)),
    run: (sql, ...values) => guarded(() => Number(prepare(sql).run(...values).changes)),
    exec: (sql) => guarded(() => database.exec(sql)),
    damaged,
    [Symbol.dispose]() {
      statements.clear();
      database.close();
    },
  };
}
