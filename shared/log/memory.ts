// A log in this process's memory, for tests and the simulation. Nothing happens by itself: no timers, and hints come from appends alone.
// Several handles share one store, as several replicas share one log.
import { DocbusError } from '@docbus/core';
import { randomUuid, type Clock } from '@docbus/runtime';
import { checkAborted, checkRecordSizes, recordBytes, recordBytesMaxDefault } from './bounds.ts';
import { epochOf, formatPosition, parsePosition, tailLost, type Epoch } from './position.ts';
import { createWake, type Wake } from './wake.ts';
import type { Log, LogEnd, LogRecord, Position, ReadLimits, ReadRecord } from './port.ts';

type Stored = LogRecord & { readonly number: number; readonly time: number };

/** What the handles share. Only the functions of this file look inside. */
export type MemoryStore = {
  readonly clock: Pick<Clock, 'now' | 'random'>;
  readonly compactsAtAppend: boolean;
  identity: string;
  /** in order of `number`, with holes where compaction was */
  records: Stored[];
  /** the number of the newest record of each key */
  newest: Map<string, number>;
  /** the number of the last record ever appended; the first is 1 */
  last: number;
  /** numbers up to here were cut off, not compacted */
  truncatedTo: number;
  /** another one begins where a tail was lost */
  epochs: Epoch[];
  readonly reports: Map<string, Position>;
  readonly wakes: Set<Wake>;
};

export type MemoryStoreOptions = {
  readonly clock: Pick<Clock, 'now' | 'random'>;
  /** remove the older value of a key at append, as the SQLite driver does; otherwise only compactMemoryStore does */
  readonly compactsAtAppend?: boolean;
};

export function createMemoryStore({ clock, compactsAtAppend = false }: MemoryStoreOptions): MemoryStore {
  return {
    clock,
    compactsAtAppend,
    identity: randomUuid(clock),
    records: [],
    newest: new Map(),
    last: 0,
    truncatedTo: 0,
    epochs: [],
    reports: new Map(),
    wakes: new Set(),
  };
}

/** Removes superseded values, and null values with what they supersede, as Kafka does in its own time. */
export function compactMemoryStore(store: MemoryStore): void {
  store.records = store.records.filter((record) => store.newest.get(record.key) === record.number && record.value !== null);
}

/** Cuts off the oldest records, as a retention limit does. Returns how many went. */
export function truncateMemoryStore(store: MemoryStore, recordsKept: number): number {
  const gone = store.records.splice(0, Math.max(store.records.length - recordsKept, 0));
  store.truncatedTo = gone.at(-1)?.number ?? store.truncatedTo;
  return gone.length;
}

/** Whether the record that a position of this store stands at is gone with a lost tail. */
export function isInLostTail(store: MemoryStore, position: Position): boolean {
  const { number, mark } = parsePosition(position, 'memory', store.identity, 'memory:');
  return number > store.last || epochOf(store.epochs, number) !== mark;
}

/** Takes the newest records away, as a power cut does where they were not flushed: their numbers are given again. Returns how many went. */
export function loseMemoryTail(store: MemoryStore, recordsKept: number): number {
  const lost = store.records.splice(recordsKept);
  const [first] = lost;
  if (first === undefined) return 0;
  store.last = first.number - 1;
  store.epochs = [
    ...store.epochs.filter(({ start }) => start <= store.last),
    { start: first.number, id: randomUuid(store.clock).slice(0, 8) },
  ];
  store.newest = new Map(store.records.map(({ key, number }) => [key, number]));
  return lost.length;
}

/** Deletes the log and makes it anew under the same address. */
export function recreateMemoryStore(store: MemoryStore): void {
  Object.assign(store, { identity: randomUuid(store.clock), records: [], newest: new Map(), last: 0, truncatedTo: 0, epochs: [] });
  store.reports.clear();
  wakeAll(store);
}

export type MemoryLogOptions = { readonly replica?: string; readonly recordBytesMax?: number };

export function createMemoryLog(options: MemoryStoreOptions & MemoryLogOptions): Log {
  return openMemoryLog(createMemoryStore(options), options);
}

export function openMemoryLog(store: MemoryStore, options: MemoryLogOptions = {}): Log {
  const { replica = 'memory', recordBytesMax = recordBytesMaxDefault } = options;
  const name = 'memory:';
  let closed = false;

  const check = (signal: AbortSignal) => {
    if (closed) throw new Error(`${name} was used after it was closed`);
    checkAborted(signal, name);
  };

  /** The number after which to read. */
  const numberOf = (after: Position | undefined): number => {
    if (after === undefined) return 0;
    const { number, mark } = parsePosition(after, 'memory', store.identity, name);
    if (number > store.last) throw tailLost(name, number, `it ends at ${store.last}`);
    if (epochOf(store.epochs, number) !== mark) throw tailLost(name, number, 'others were appended in their place');
    if (number < store.truncatedTo)
      throw new DocbusError(
        'position_expired',
        `${name} no longer holds what follows record ${number} (it was cut at ${store.truncatedTo}). Starting over from the first record.`,
      );
    return number;
  };

  const append = async (records: readonly LogRecord[], signal: AbortSignal): Promise<void> => {
    check(signal);
    checkRecordSizes(records, recordBytesMax, name);
    for (const record of records) {
      if (store.compactsAtAppend) removeRecord(store, store.newest.get(record.key));
      store.last += 1;
      store.newest.set(record.key, store.last);
      if (store.compactsAtAppend && record.value === null) continue;
      const value = record.value === null ? null : new Uint8Array(record.value);
      store.records.push({ key: record.key, value, headers: { ...record.headers }, number: store.last, time: store.clock.now() });
    }
    if (records.length > 0) wakeAll(store);
  };

  const read = async (after: Position | undefined, limits: ReadLimits, signal: AbortSignal): Promise<readonly ReadRecord[]> => {
    check(signal);
    const found: ReadRecord[] = [];
    let bytes = 0;
    for (let i = indexAfter(store.records, numberOf(after)); i < store.records.length && found.length < limits.recordsMax; i++) {
      const { number, ...record } = store.records[i] as Stored;
      bytes += recordBytes(record);
      if (bytes > limits.bytesMax && found.length > 0) break;
      found.push({
        ...record,
        value: record.value === null ? null : new Uint8Array(record.value),
        position: formatPosition('memory', store.identity, { number, mark: epochOf(store.epochs, number) }),
      });
    }
    return found;
  };

  const end = async (after: Position | undefined, signal: AbortSignal): Promise<LogEnd> => {
    check(signal);
    const first = indexAfter(store.records, numberOf(after));
    return { records: store.records.length - first, oldestTime: store.records[first]?.time };
  };

  const report = async (reported: Position, signal: AbortSignal): Promise<void> => {
    check(signal);
    numberOf(reported);
    store.reports.set(replica, reported);
  };

  async function* hints(signal: AbortSignal): AsyncGenerator<void> {
    const wake = createWake();
    store.wakes.add(wake);
    try {
      while (!signal.aborted) {
        yield;
        await wake.wait(signal);
      }
    } finally {
      store.wakes.delete(wake);
    }
  }

  const identity = async (signal: AbortSignal): Promise<string> => {
    check(signal);
    return store.identity;
  };

  return { name, recordBytesMax, append, read, end, report, hints, identity, [Symbol.asyncDispose]: async () => void (closed = true) };
}

/** The index of the first record numbered above `number`. */
function indexAfter(records: readonly Stored[], number: number): number {
  let low = 0;
  let high = records.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((records[middle] as Stored).number > number) high = middle;
    else low = middle + 1;
  }
  return low;
}

function removeRecord(store: MemoryStore, number: number | undefined): void {
  if (number === undefined) return;
  const index = indexAfter(store.records, number - 1);
  if (store.records[index]?.number === number) store.records.splice(index, 1);
}

function wakeAll(store: MemoryStore): void {
  for (const wake of store.wakes) wake.set();
}
