// The two requests that kafkajs cannot make, in Kafka's own binary form: Metadata 12 and Fetch 13, which name a topic by its random id
// instead of its name. Thus a topic that was deleted and made anew under its name is noticed by the broker itself, within the request.
// Also what kafkajs' consumer cannot do: step over what compaction left empty, and read zstd.
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { sha256 } from '@docbus/core';
import type { KafkaPlace } from './kafka-position.ts';

/** What kafkajs' connection sends and hands back. `parse` throws what `decode` must not. */
export type KafkaCall<T> = {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>;
  };
  readonly response: { decode(payload: Buffer): Promise<T>; parse(decoded: T): Promise<T> };
};

export const FETCH = 1;
export const FETCH_VERSION = 13;
export const METADATA = 3;
export const METADATA_VERSION = 12;

export type TopicPartition = { readonly partition: number; readonly error: number; readonly leader: number; readonly replicas: number };
/** `id` is 22 characters of base64url, as Kafka's tools print it. */
export type TopicMetadata = { readonly error: number; readonly id: string; readonly partitions: readonly TopicPartition[] };

export function metadataCall(topic: string): KafkaCall<TopicMetadata> {
  const body = createWriter()
    .tags() // of the request's header: kafkajs writes headers of before there were tags
    .count(1)
    .raw(Buffer.alloc(16))
    .text(topic)
    .tags()
    .int8(0) // allow_auto_topic_creation
    .int8(0) // include_topic_authorized_operations
    .tags();
  return call('Metadata', METADATA, METADATA_VERSION, body, (reader) => {
    reader.int32(); // throttle time
    reader.list(() => {
      reader.int32();
      reader.text();
      reader.int32();
      reader.text();
      reader.tags();
    });
    reader.text(); // cluster id
    reader.int32(); // controller
    const [found] = reader.list(() => {
      const error = reader.int16();
      reader.text();
      const id = reader.raw(16).toString('base64url');
      reader.int8();
      const partitions = reader.list(() => {
        const partitionError = reader.int16();
        const partition = reader.int32();
        const leader = reader.int32();
        reader.int32(); // leader epoch
        const replicas = reader.list(() => reader.int32()).length;
        reader.list(() => reader.int32());
        reader.list(() => reader.int32());
        reader.tags();
        return { partition, error: partitionError, leader, replicas };
      });
      reader.int32();
      reader.tags();
      return { error, id, partitions: partitions.toSorted((a, b) => a.partition - b.partition) };
    });
    return found ?? { error: -1, id: '', partitions: [] };
  });
}

/** `epoch`: of the record before `offset`; -1 where it is not known, and then the broker does not compare. */
export type FetchFrom = { readonly partition: number } & Pick<KafkaPlace, 'offset' | 'epoch'>;
export type FetchLimits = { readonly bytesMax: number; readonly waitMs: number };

/** `value` and `key` are views of the answer's bytes. */
export type FetchedRecord = {
  readonly offset: bigint;
  /** of the leader that took it: a log that lost its tail goes on under another one */
  readonly epoch: number;
  /** no other record has it: who appended it, and its number there; compaction leaves both */
  readonly mark: string;
  readonly time: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Readonly<Record<string, string>>;
};
export type FetchedPartition = {
  readonly partition: number;
  readonly error: number;
  /** one after the last record that may be read */
  readonly highWatermark: bigint;
  readonly records: readonly FetchedRecord[];
  /** where to fetch next: beyond the last whole batch, empty ones included; undefined where there was none */
  readonly next: bigint | undefined;
  /** of the last whole batch; -1 where there was none */
  readonly lastEpoch: number;
  /** where what the broker has of the epoch that was asked about ends, if that is before the offset that was asked for */
  readonly divergedAt: bigint | undefined;
};

/** All partitions must be led by the broker that is asked. An error that is not a partition's is put on all of them. */
export function fetchCall(topicId: string, from: readonly FetchFrom[], limits: FetchLimits): KafkaCall<readonly FetchedPartition[]> {
  const body = createWriter()
    .tags()
    .int32(-1) // replica: a client
    .int32(limits.waitMs)
    .int32(1) // min bytes
    .int32(limits.bytesMax)
    .int8(0) // read uncommitted: we use no transactions
    .int32(0) // no fetch session
    .int32(-1)
    .count(1)
    .raw(Buffer.from(topicId, 'base64url'))
    .count(from.length);
  for (const { partition, offset, epoch } of from)
    body.int32(partition).int32(-1).int64(offset).int32(epoch).int64(-1n).int32(limits.bytesMax).tags();
  body.tags().count(0).text('').tags();
  const offsets = new Map(from.map(({ partition, offset }) => [partition, offset]));
  return call('Fetch', FETCH, FETCH_VERSION, body, (reader) => {
    reader.int32(); // throttle time
    const error = reader.int16();
    reader.int32(); // session
    const topics = reader.list(() => {
      reader.raw(16);
      const partitions = reader.list(() => readPartition(reader, offsets));
      reader.tags();
      return partitions;
    });
    const nothing = { highWatermark: -1n, records: [], next: undefined, lastEpoch: -1, divergedAt: undefined };
    if (error !== 0) return from.map(({ partition }) => ({ ...nothing, partition, error }));
    return topics.flat();
  });
}

function readPartition(reader: Reader, offsets: ReadonlyMap<number, bigint>): FetchedPartition {
  const partition = reader.int32();
  const error = reader.int16();
  const highWatermark = reader.int64();
  reader.int64(); // last stable offset
  reader.int64(); // log start offset
  reader.list(() => {
    reader.int64();
    reader.int64();
    reader.tags();
  });
  reader.int32(); // preferred read replica
  const batches = reader.bytes();
  let divergedAt: bigint | undefined;
  reader.tags((tag, length) => {
    if (tag !== DIVERGING_EPOCH) return void reader.raw(length);
    reader.int32(); // the epoch that ends there
    divergedAt = reader.int64();
    reader.tags();
  });
  return { partition, error, highWatermark, divergedAt, ...decodeBatches(batches, offsets.get(partition) ?? 0n) };
}

/** A field of a partition's answer that is there only where the broker has another history than the reader. */
const DIVERGING_EPOCH = 0;

const BATCH_HEADER_BYTES = 61;
const CODECS: readonly (((bytes: Buffer) => Buffer) | string)[] = [(bytes) => bytes, gunzipSync, 'snappy', 'lz4', zstdDecompressSync];

/** Thrown for batches that this driver cannot read. */
export class UnreadableBatch extends Error {
  override readonly name = 'UnreadableBatch';
}

/** Whole batches only; the last one of an answer is often cut off. Records before `from` are left out. */
export function decodeBatches(bytes: Buffer, from: bigint): Pick<FetchedPartition, 'records' | 'next' | 'lastEpoch'> {
  const records: FetchedRecord[] = [];
  let next: bigint | undefined;
  let lastEpoch = -1;
  for (let start = 0; start + BATCH_HEADER_BYTES <= bytes.length;) {
    const end = start + 12 + bytes.readInt32BE(start + 8);
    if (end > bytes.length) break;
    const magic = bytes.readInt8(start + 16);
    if (magic !== 2)
      throw new UnreadableBatch(`a batch at offset ${bytes.readBigInt64BE(start)} has the message format ${magic} of before Kafka 0.11`);
    const baseOffset = bytes.readBigInt64BE(start);
    const attributes = bytes.readInt16BE(start + 21);
    lastEpoch = bytes.readInt32BE(start + 12);
    next = baseOffset + BigInt(bytes.readInt32BE(start + 23)) + 1n;
    const isControl = (attributes & 0x20) !== 0;
    if (!isControl && next > from) {
      const codec = CODECS[attributes & 7] ?? 'an unknown way';
      if (typeof codec === 'string') throw new UnreadableBatch(`a batch at offset ${baseOffset} is compressed with ${codec}`);
      const baseTime = Number(bytes.readBigInt64BE(start + 27));
      const appendTime = (attributes & 0x08) === 0 ? undefined : Number(bytes.readBigInt64BE(start + 35));
      const reader = createReader(codec(bytes.subarray(start + BATCH_HEADER_BYTES, end)));
      for (let count = bytes.readInt32BE(start + 57); count > 0; count--) {
        const record = decodeRecord(reader, baseOffset, baseTime, appendTime);
        if (record.offset >= from) records.push({ ...record, epoch: lastEpoch, mark: markOf(bytes.subarray(start), record) });
      }
    }
    start = end;
  }
  return { records, next, lastEpoch };
}

/** Without a producer's number (somebody else's records), what it holds has to do. */
function markOf(batch: Buffer, { offset, value }: Pick<FetchedRecord, 'offset' | 'value'>): string {
  const producer = batch.readBigInt64BE(43);
  if (producer < 0n) return sha256(value ?? '').slice(0, 16);
  const sequence = BigInt(batch.readInt32BE(53)) + offset - batch.readBigInt64BE(0);
  return `${producer.toString(36)}.${batch.readInt16BE(51)}.${sequence.toString(36)}`;
}

function decodeRecord(
  reader: Reader,
  baseOffset: bigint,
  baseTime: number,
  appendTime: number | undefined,
): Omit<FetchedRecord, 'epoch' | 'mark'> {
  reader.varint(); // length
  reader.int8(); // attributes
  const time = appendTime ?? baseTime + reader.varint();
  if (appendTime !== undefined) reader.varint();
  const offset = baseOffset + BigInt(reader.varint());
  const key = reader.field();
  const value = reader.field();
  const headers: Record<string, string> = {};
  for (let count = reader.varint(); count > 0; count--) {
    const name = (reader.field() ?? Buffer.alloc(0)).toString();
    headers[name] = (reader.field() ?? Buffer.alloc(0)).toString();
  }
  return { offset, time, key, value, headers };
}

function call<T>(apiName: string, apiKey: number, apiVersion: number, body: Writer, decode: (reader: Reader) => T): KafkaCall<T> {
  return {
    request: {
      apiKey,
      apiVersion,
      apiName,
      encode: async () => {
        const buffer = body.end();
        return { buf: buffer, buffer };
      },
    },
    response: {
      decode: async (payload) => {
        const reader = createReader(payload);
        reader.tags(); // of the answer's header
        return decode(reader);
      },
      parse: async (decoded) => decoded,
    },
  };
}

type Writer = ReturnType<typeof createWriter>;

function createWriter() {
  const pieces: Buffer[] = [];
  const add = (bytes: number, fill: (piece: Buffer) => void) => {
    const piece = Buffer.alloc(bytes);
    fill(piece);
    return writer.raw(piece);
  };
  const writer = {
    raw: (piece: Buffer) => {
      pieces.push(piece);
      return writer;
    },
    int8: (value: number) => add(1, (piece) => piece.writeInt8(value)),
    int32: (value: number) => add(4, (piece) => piece.writeInt32BE(value)),
    int64: (value: bigint) => add(8, (piece) => piece.writeBigInt64BE(value)),
    unsigned: (value: number) => {
      const bytes: number[] = [];
      for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
      return writer.raw(Buffer.from([...bytes, value]));
    },
    /** the length of a list, which stands before it */
    count: (length: number) => writer.unsigned(length + 1),
    text: (text: string) => writer.count(Buffer.byteLength(text)).raw(Buffer.from(text)),
    /** the empty list of tagged fields that ends every structure */
    tags: () => writer.unsigned(0),
    end: () => Buffer.concat(pieces),
  };
  return writer;
}

type Reader = ReturnType<typeof createReader>;

/** Throws RangeError where the bytes end too early. */
function createReader(bytes: Buffer) {
  let at = 0;
  const skip = (length: number) => {
    at += length;
    return at - length;
  };
  const raw = (length: number): Buffer => {
    const start = skip(length);
    if (length < 0 || at > bytes.length) throw new RangeError(`an answer of ${bytes.length} bytes ends before byte ${at}`);
    return bytes.subarray(start, at);
  };
  const unsigned = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes.readUInt8(skip(1));
      value += (byte & 0x7f) * 2 ** shift; // not <<: a time delta may need more than 32 bits
      if (byte < 0x80) return value;
    }
  };
  const varint = (): number => {
    const value = unsigned();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  };
  return {
    raw,
    varint,
    int8: () => bytes.readInt8(skip(1)),
    int16: () => bytes.readInt16BE(skip(2)),
    int32: () => bytes.readInt32BE(skip(4)),
    int64: () => bytes.readBigInt64BE(skip(8)),
    /** of a response: length + 1, then the bytes */
    bytes: () => raw(Math.max(unsigned() - 1, 0)),
    text: () => raw(Math.max(unsigned() - 1, 0)).toString(),
    list: <T>(item: () => T): T[] => Array.from({ length: Math.max(unsigned() - 1, 0) }, item),
    /** the tagged fields at the end of a structure; `read` must take exactly their bytes */
    tags: (read: (tag: number, length: number) => void = (_, length) => void raw(length)) => {
      for (let count = unsigned(); count > 0; count--) {
        const tag = unsigned();
        read(tag, unsigned());
      }
    },
    /** of a record: zigzag length, -1 for null, then the bytes */
    field: (): Buffer | null => {
      const length = varint();
      return length < 0 ? null : raw(length);
    },
  };
}
