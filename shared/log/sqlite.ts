// The log in one SQLite file, for agents on one machine. Several processes append and read; every record is durable when append resolves.
// An older value of a key is removed in the transaction that appends the newer one.
import { DocbusError } from '@docbus/core';
import { randomUuid } from '@docbus/runtime';
import { checkAborted, checkRecordSizes, recordBytes, recordBytesMaxDefault } from './bounds.ts';
import { epochOf, formatPosition, parsePosition, tailLost, type Epoch, type Place } from './position.ts';
import { inodeOf, isPassing, openSqliteFile, transaction, translate, type SqliteFile } from './sqlite-file.ts';
import { sqliteHints, tellOthers } from './sqlite-hints.ts';
import type { Log, LogEnd, LogOptions, LogRecord, Position, ReadLimits, ReadRecord } from './port.ts';

/** One transaction is at most this long, so that neither the process nor another writer waits long for a bulk append. */
const transactionLimits = { records: 1000, bytes: 8 << 20 };
/** One reading takes its rows in slices, so that rows that do not fit are not read in vain. */
const SLICE_ROWS_MAX = 100;
/** Pauses between attempts at a lock that somebody else holds; the last one repeats until `busyMs` are over. */
const busyPausesMs = [1, 2, 5, 10, 20, 50];

export type SqliteLogOptions = LogOptions & {
  readonly path: string;
  readonly recordBytesMax?: number;
  /** how long to wait for another writer before `log_busy` */
  readonly busyMs?: number;
};

/** Opens the file at the first use, so that what is wrong with it is an error of that use. Makes it where it is missing, not its directory. Errors: those of the port, and `disk_full`. */
export function openSqliteLog(options: SqliteLogOptions): Log {
  return new SqliteLog(options);
}

class SqliteLog implements Log {
  readonly name: string;
  readonly recordBytesMax: number;
  readonly #options: SqliteLogOptions;
  readonly #busyMs: number;
  #file: SqliteFile | undefined;
  #reported: Position | undefined;
  #closed = false;

  constructor(options: SqliteLogOptions) {
    this.name = `sqlite:${options.path}`;
    this.recordBytesMax = options.recordBytesMax ?? recordBytesMaxDefault;
    this.#busyMs = options.busyMs ?? 5000;
    this.#options = options;
  }

  async append(records: readonly LogRecord[], signal: AbortSignal): Promise<void> {
    checkAborted(signal, this.name);
    checkRecordSizes(records, this.recordBytesMax, this.name);
    const { clock, path } = this.#options;
    for (let start = 0; start < records.length;) {
      let end = start;
      for (let bytes = 0; end < records.length && end - start < transactionLimits.records && bytes < transactionLimits.bytes; end++)
        bytes += recordBytes(records[end] as LogRecord);
      const batch = records.slice(start, end);
      await this.#use((file) => {
        const { database } = file;
        const put = database.prepare("insert or replace into log (key, value, headers, time) values (?, coalesce(?, x''), ?, ?)");
        const remove = database.prepare('delete from log where key = ?');
        const time = clock.now();
        transaction(database, () => {
          if (!file.hasEpoch) beginEpoch(database, randomUuid(clock).slice(0, 8));
          for (const { key, value, headers } of batch)
            if (value === null) remove.run(key);
            else put.run(key, value, JSON.stringify(headers), time);
        });
        file.hasEpoch = true;
      }, signal);
      tellOthers(path);
      start = end;
    }
  }

  async read(after: Position | undefined, limits: ReadLimits, signal: AbortSignal): Promise<readonly ReadRecord[]> {
    return this.#use(({ database }) => {
      const { identity, number } = this.#place(database, after);
      const rows = database.prepare('select position, key, value, headers, time from log where position > ? order by position limit ?');
      const found: ReadRecord[] = [];
      let bytes = 0;
      const epochs = epochsFrom(database, number);
      const positionOf = (position: number): Position =>
        formatPosition('sqlite', identity, { number: position, mark: epochOf(epochs, position) });
      rows.setReturnArrays(true);
      // Nearly all records have the same headers.
      let shared: { readonly text: string; readonly headers: Record<string, string> } | undefined;
      let last = number;
      for (let slice = 16; found.length < limits.recordsMax;) {
        const asked = Math.min(slice, limits.recordsMax - found.length);
        const some = rows.all(last, asked) as unknown as [number, string, Uint8Array, string, number][];
        for (const [place, key, value, text, time] of some) {
          if (shared?.text !== text) shared = { text, headers: JSON.parse(text) as Record<string, string> };
          const record: ReadRecord = { key, value, headers: shared.headers, time, position: positionOf(place) };
          bytes += recordBytes(record);
          if (bytes > limits.bytesMax && found.length > 0) return found;
          found.push(record);
          last = place;
        }
        if (some.length < asked) break;
        // As many as should fit: a row at a time costs twice as much.
        slice = Math.max(1, Math.min(SLICE_ROWS_MAX, Math.floor((limits.bytesMax - bytes) / (bytes / found.length))));
      }
      return found;
    }, signal);
  }

  async end(after: Position | undefined, signal: AbortSignal): Promise<LogEnd> {
    return this.#use(({ database }) => {
      const { number } = this.#place(database, after);
      const oldest = database.prepare('select time from log where position > ? order by position limit 1').get(number);
      if (oldest === undefined) return { records: 0, oldestTime: undefined };
      const { records } = database.prepare('select count(*) as records from log where position > ?').get(number) as { records: number };
      return { records, oldestTime: oldest['time'] as number };
    }, signal);
  }

  /** A row per replica, for whoever looks into the file. Not synced to the disk, and nothing is written when nothing changed: everybody's report would wake everybody else. */
  async report(position: Position, signal: AbortSignal): Promise<void> {
    if (position === this.#reported) return checkAborted(signal, this.name);
    await this.#use(({ database }) => {
      const { number } = this.#place(database, position);
      database.exec('pragma synchronous = normal');
      try {
        database
          .prepare('insert or replace into checkpoints (replica, position, time) values (?, ?, ?)')
          .run(this.#options.replica, number, this.#options.clock.now());
      } finally {
        database.exec('pragma synchronous = full');
      }
    }, signal);
    this.#reported = position;
  }

  hints(signal: AbortSignal): AsyncIterable<void> {
    const state = () => {
      try {
        const { database } = this.#open();
        return `${identityOf(database)}:${lastOf(database)}`;
      } catch (error) {
        return String(error); // the next read says what is wrong
      }
    };
    return sqliteHints(this.#options.path, this.#options.clock, state, signal);
  }

  async identity(signal: AbortSignal): Promise<string> {
    return this.#use(({ database }) => identityOf(database), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#drop();
  }

  /** Which log this is, and after which number a position stands in it. */
  #place(database: SqliteFile['database'], position: Position | undefined): Place & { readonly identity: string } {
    const identity = identityOf(database);
    if (position === undefined) return { identity, number: 0, mark: '' };
    const place = parsePosition(position, 'sqlite', identity, this.name);
    const last = lastOf(database);
    if (place.number > last) throw tailLost(this.name, place.number, `an older copy of the file was put back, which ends at ${last}`);
    if (place.mark !== '' && epochOf(epochsFrom(database, place.number), place.number) !== place.mark)
      throw tailLost(this.name, place.number, 'an older copy of the file was put back, and others were appended in their place');
    return { ...place, identity };
  }

  /** Runs one piece of work on the file as it is now at its path; waits, in bounds, while another writer holds the lock. */
  async #use<T>(work: (file: SqliteFile) => T, signal: AbortSignal): Promise<T> {
    const { clock, path } = this.#options;
    for (let attempt = 0, waitedMs = 0; ; attempt++) {
      checkAborted(signal, this.name);
      try {
        return work(this.#open());
      } catch (error) {
        if (!isPassing(error) || waitedMs >= this.#busyMs) {
          if (isPassing(error))
            throw new DocbusError('log_busy', `${this.name} was locked by another process for ${this.#busyMs} ms.`, { cause: error });
          const known = translate(error, path);
          // Damage may be mended by another file in its place: do not hold on to this one.
          if (known !== error) this.#drop();
          throw known;
        }
      }
      const pauseMs = busyPausesMs[Math.min(attempt, busyPausesMs.length - 1)] as number;
      waitedMs += pauseMs;
      await clock.sleep(pauseMs, signal).catch(() => undefined);
    }
  }

  /** The open file; opened again where another file has taken its path, or none is there. */
  #open(): SqliteFile {
    const { path, clock } = this.#options;
    if (this.#closed) throw new Error(`${this.name} was used after it was closed`);
    if (this.#file !== undefined && inodeOf(path) !== this.#file.inode) this.#drop();
    this.#file ??= openSqliteFile(path, randomUuid(clock));
    return this.#file;
  }

  #drop(): void {
    this.#file?.database.close();
    this.#file = undefined;
    this.#reported = undefined;
  }
}

/** Inside the transaction that appends. */
function beginEpoch(database: SqliteFile['database'], id: string): void {
  database.prepare('insert or replace into epochs (start, id) values (?, ?)').run(lastOf(database) + 1, id);
}

/** The epoch in which a number was given, and all that came after it. */
function epochsFrom(database: SqliteFile['database'], number: number): readonly Epoch[] {
  return database
    .prepare('select start, id from epochs where start >= coalesce((select max(start) from epochs where start <= ?), 0) order by start')
    .all(number)
    .map(({ start, id }) => ({ start: Number(start), id: String(id) }));
}

function identityOf(database: SqliteFile['database']): string {
  return database.prepare('select id from identity').get()?.['id'] as string;
}

/** The number of the last record ever appended. */
function lastOf(database: SqliteFile['database']): number {
  return (database.prepare("select seq from sqlite_sequence where name = 'log'").get()?.['seq'] ?? 0) as number;
}
