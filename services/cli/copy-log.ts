// Copying one log into another, key by key: only what wins over everything the source holds and over what the target has is appended,
// its parts first. So a copy may be repeated, interrupted, or run both ways at once, and ends in the same.
import { DocbusError, isDocbusError, merge, stampOf, type Change } from '@docbus/core';
import { decodeRecord, dropParts, partRecord, type Decoded, type DecodedPayload } from '@docbus/log';
import type { Log, LogRecord, Position, ReadRecord } from '@docbus/log/port.ts';
import type { CopyLedger, Side } from './copy-ledger.ts';

export type CopyOptions = {
  readonly source: Log;
  readonly target: Log;
  readonly ledger: CopyLedger;
  /** called after every batch with what this pass over a log has read so far */
  readonly onBatch?: (records: number, bytes: number) => void;
};

/** Records that cannot be read, and the words about the first of each kind. */
export type Unreadable = { records: number; forged: number; readonly words: Map<string, string> };

export type CopyCounts = {
  /** records that could be read, on each side */
  readonly read: Record<Side, number>;
  readonly unreadable: Readonly<Record<Side, Unreadable>>;
  /** appended: changes; all records with their parts; bytes of these */
  changes: number;
  records: number;
  bytes: number;
};

export type Copy = {
  readonly counts: CopyCounts;
  /** Reads on in the target, to its end. */
  learnTarget(signal: AbortSignal): Promise<void>;
  /** Reads the source to its end to learn the winner of each key. */
  findWinners(signal: AbortSignal): Promise<void>;
  /** Reads the source again, at the next call on from there, to its end, and appends what the target lacks. */
  appendWinners(signal: AbortSignal): Promise<void>;
};

const READ = { recordsMax: 1000, bytesMax: 16 << 20 };
const APPEND_RECORDS_MAX = 1000;
const APPEND_BYTES_MAX = 8 << 20;

export function createCopy({ source, target, ledger, onBatch = () => {} }: CopyOptions): Copy {
  const counts: CopyCounts = {
    read: { source: 0, target: 0 },
    unreadable: { source: nothingUnreadable(), target: nothingUnreadable() },
    changes: 0,
    records: 0,
    bytes: 0,
  };
  let identity: string | undefined;
  let learntTo: Position | undefined;
  let copiedTo: Position | undefined;
  /** the source was read once: what comes now is new, and so may be what the target holds */
  let isFollowing = false;
  let waiting: LogRecord[] = [];
  let waitingBytes = 0;

  /** Every record of a log after a position, batch by batch; returns where it ended. */
  const pass = async (
    log: Log,
    after: Position | undefined,
    take: (records: readonly ReadRecord[]) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<Position | undefined> => {
    let count = 0;
    let bytes = 0;
    for (let end = after; ;) {
      const records = await log.read(end, READ, signal);
      const last = records.at(-1);
      if (last === undefined) return end;
      await take(records);
      end = last.position;
      count += records.length;
      for (const { value } of records) bytes += value?.length ?? 0;
      onBatch(count, bytes);
    }
  };

  const learn = (side: Side) => (records: readonly ReadRecord[]) => {
    for (const record of records) {
      const decoded = read(record, counts.unreadable[side]);
      if (decoded !== undefined) counts.read[side] += 1;
      if (decoded?.type === 'change') ledger.learn(side, decoded.change, partsIn(decoded.payload));
    }
  };

  const learnTarget = async (signal: AbortSignal): Promise<void> => {
    // A position would tell by itself that the log is another one by now.
    if (learntTo === undefined) {
      const now = await target.identity(signal);
      identity ??= now;
      if (now !== identity) throw new DocbusError('log_recreated', `${target.name} was deleted and made anew; it is filled again.`);
    }
    learntTo = await pass(target, learntTo, learn('target'), signal);
  };

  const findWinners = async (signal: AbortSignal): Promise<void> => void (await pass(source, undefined, learn('source'), signal));

  const appendWinners = async (signal: AbortSignal): Promise<void> => {
    const take = async (records: readonly ReadRecord[]): Promise<void> => {
      // What a copy in the other direction took from there to here was there before it was here.
      if (isFollowing) await learnTarget(signal);
      for (const record of records) await takeRecord(record, signal);
      await flush(signal);
    };
    copiedTo = await pass(source, copiedTo, take, signal);
    isFollowing = true;
  };

  const takeRecord = async (record: ReadRecord, signal: AbortSignal): Promise<void> => {
    // findWinners has counted what was there in the first pass.
    const decoded = read(record, isFollowing ? counts.unreadable.source : nothingUnreadable());
    if (decoded?.type === 'part') {
      const { key, hash, index, bytes } = decoded;
      if (ledger.known('target', key)?.hash !== hash) ledger.putPart(key, hash, index, bytes);
    } else if (decoded?.type === 'change') {
      const { change, payload } = decoded;
      ledger.learn('source', change, partsIn(payload));
      const wins = merge(ledger.known('source', change.key), stampOf(change)) === 'same';
      if (wins && merge(ledger.known('target', change.key), stampOf(change)) === 'take') await forward(record, change, payload, signal);
      ledger.dropParts(change.key, change.hash);
    }
  };

  const forward = async (record: LogRecord, change: Change, payload: DecodedPayload, signal: AbortSignal): Promise<void> => {
    const { key, hash } = change;
    const parts = partsIn(payload);
    const isComplete = ledger.partCount(key, hash, parts) === parts;
    ledger.setIncomplete(key, !isComplete);
    if (!isComplete) return;
    const older = ledger.known('target', key);
    if (older !== undefined && older.hash !== hash) for (const drop of dropParts(key, older.hash, older.parts)) await append(drop, signal);
    for (let index = 0; index < parts; index++) await append(partRecord({ key, hash, index }, ledger.part(key, hash, index)), signal);
    // As it stands: what a newer docbus has put into it is copied too.
    await append({ key: record.key, value: record.value, headers: record.headers }, signal);
    ledger.learn('target', change, parts);
    counts.changes += 1;
  };

  const append = async (record: LogRecord, signal: AbortSignal): Promise<void> => {
    waiting.push(record);
    waitingBytes += record.value?.length ?? 0;
    if (waiting.length >= APPEND_RECORDS_MAX || waitingBytes >= APPEND_BYTES_MAX) await flush(signal);
  };

  const flush = async (signal: AbortSignal): Promise<void> => {
    if (waiting.length === 0) return;
    await target.append(waiting, signal);
    counts.records += waiting.length;
    counts.bytes += waitingBytes;
    waiting = [];
    waitingBytes = 0;
  };

  return { counts, learnTarget, findWinners, appendWinners };
}

function nothingUnreadable(): Unreadable {
  return { records: 0, forged: 0, words: new Map() };
}

/** undefined where it cannot be read, which is counted. */
function read(record: ReadRecord, unreadable: Unreadable): Decoded | undefined {
  try {
    return decodeRecord(record);
  } catch (error) {
    if (!(isDocbusError(error) && error.remedy === 'quarantine')) throw error;
    unreadable.records += 1;
    if (error.code === 'record_forged') unreadable.forged += 1;
    if (!unreadable.words.has(error.code)) unreadable.words.set(error.code, error.message);
    return undefined;
  }
}

function partsIn(payload: DecodedPayload): number {
  return payload.type === 'parts' ? payload.parts : 0;
}
