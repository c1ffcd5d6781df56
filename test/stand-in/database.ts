// anythingllm.db as the original uses it: one short statement after the other, foreign keys on, dates as whole milliseconds, booleans
// as 0 and 1, and nearly every error printed and forgotten. `swallowed` keeps what it would have printed.
import { existsSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { databaseFile } from './storage.ts';

export type Swallowed = { readonly what: string; readonly message: string };

export type Database = {
  all<Row>(sql: string, ...values: SQLInputValue[]): Row[];
  get<Row>(sql: string, ...values: SQLInputValue[]): Row | undefined;
  /** One new row. */
  insert(table: string, row: Readonly<Record<string, SQLInputValue>>): void;
  /** How many rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number;
  transaction(work: () => void): void;
  /** `work`, or `otherwise` when it throws: the error goes to `swallowed`, as the original's goes to its console. */
  attempt<T, U>(what: string, work: () => T, otherwise: U): T | U;
  readonly swallowed: readonly Swallowed[];
  close(): void;
};

export type DatabaseOptions = {
  /** how long a locked database is waited for (5,000 in the original; the wait blocks this thread) */
  readonly busyMs: number;
  /** false: writes are not synced to the disk; others see the same */
  readonly durable: boolean;
};

export function openDatabase(storageDir: string, { busyMs, durable }: DatabaseOptions): Database {
  const file = databaseFile(storageDir);
  if (!existsSync(file)) throw new Error(`There is no ${file}; call createStorage first.`);
  const handle = new DatabaseSync(file, { timeout: busyMs });
  if (!durable) handle.exec('PRAGMA synchronous = off');
  const statements = new Map<string, StatementSync>();
  const swallowed: Swallowed[] = [];
  const prepare = (sql: string): StatementSync => {
    const statement = statements.get(sql) ?? handle.prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return {
    all: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).all(...values) as Row[],
    get: <Row>(sql: string, ...values: SQLInputValue[]) => prepare(sql).get(...values) as Row | undefined,
    insert: (table, row) => {
      const columns = Object.keys(row);
      prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`).run(...Object.values(row));
    },
    run: (sql, ...values) => Number(prepare(sql).run(...values).changes),
    transaction: (work) => {
      handle.exec('BEGIN');
      try {
        work();
        handle.exec('COMMIT');
      } catch (error) {
        if (handle.isTransaction) handle.exec('ROLLBACK');
        throw error;
      }
    },
    attempt: (what, work, otherwise) => {
      try {
        return work();
      } catch (error) {
        swallowed.push({ what, message: error instanceof Error ? error.message : String(error) });
        return otherwise;
      }
    },
    swallowed,
    close: () => handle.close(),
  };
}
