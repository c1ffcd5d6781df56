// The log's port: bytes in, bytes out. Only a driver can read a position. Drivers do not retry; the agent does, once for all.
// shared/log/conformance.ts says the same in tests; every driver passes it.
import type { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime';

/** A place in one log, with that log's identity in it; opaque outside its driver, safe to store as text. */
export type Position = string & { readonly brand: 'Position' };

/** `value` null removes the key's older values from the log where the log compacts; readers get nothing or a null for it. */
export type LogRecord = {
  readonly key: string;
  readonly value: Uint8Array | null;
  /** scalars only, small: RabbitMQ drops anything else without a word */
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * `time`: milliseconds since the epoch when the log took it, as near as the product tells.
 * `refused`: it is not what its author appended, or cannot be opened (seal.ts); then it is as the driver read it, and decodeRecord throws this.
 */
export type ReadRecord = LogRecord & { readonly position: Position; readonly time: number; readonly refused?: DocbusError };

export type ReadLimits = { readonly recordsMax: number; readonly bytesMax: number };

export type LogEnd = {
  /** records after the position (an upper bound where the log has holes) */
  readonly records: number;
  /** when the oldest of them was appended, in milliseconds since the epoch; undefined when there is none or the product cannot tell */
  readonly oldestTime: number | undefined;
};

/**
 * Errors of every method: `log_unreachable` (it may pass), `log_busy` (it may pass), `log_refused` (a person must act),
 * `log_corrupt`, `aborted`. With a position: `position_expired` (records after it were cut off at the log's beginning),
 * `log_tail_lost` (the record at it is gone from the log's end, whatever was appended since) and `log_recreated` (the position belongs to another log).
 */
export interface Log extends AsyncDisposable {
  /** For people: the URL without secrets. */
  readonly name: string;
  /** The largest record (key + value + headers) that append takes, in bytes. */
  readonly recordBytesMax: number;

  /**
   * Appends in order. Durable when it resolves. When it rejects, each record may or may not have been appended:
   * append the same again. Several appends from one or more writers interleave only between records, never within one.
   * Rejects with `record_too_large` before anything is sent when one is over `recordBytesMax`.
   */
  append(records: readonly LogRecord[], signal: AbortSignal): Promise<void>;

  /**
   * The next records after a position (from the first when undefined), in log order: for one key always in the order appended.
   * At least one record if there is any, even where it is larger than `bytesMax`; [] when there is nothing. Does not wait for more.
   * A superseded value of a key may be missing (compaction); the newest value of a key never is, unless the log was truncated.
   */
  read(after: Position | undefined, limits: ReadLimits, signal: AbortSignal): Promise<readonly ReadRecord[]>;

  /** How much lies after a position. Exact once writers are quiet, but for holes that only make it larger; 0 only when there is nothing. */
  end(after: Position | undefined, signal: AbortSignal): Promise<LogEnd>;

  /** Shows this replica's checkpoint to the product's own tools, where it has any. Losing it loses nothing. */
  report(position: Position, signal: AbortSignal): Promise<void>;

  /**
   * Yields when there may be something to read: at least once after every append by anybody, at the latest within a few seconds,
   * usually at once. May yield for nothing. Does not busy-poll. Ends when the signal aborts.
   */
  hints(signal: AbortSignal): AsyncIterable<void>;

  /** The random id of this log (not of its address): written as the first record by whoever comes first, `identity/<id>`; readers never see that record. */
  identity(signal: AbortSignal): Promise<string>;
}

/** What every driver is given beside its URL. */
export type LogOptions = {
  /** whose checkpoint `report` shows */
  readonly replica: string;
  readonly clock: Clock;
};
