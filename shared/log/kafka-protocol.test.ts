import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { decodeBatches, fetchCall, metadataCall, UnreadableBatch } from './kafka-protocol.ts';

const require = createRequire(import.meta.url);
type Encoded = { readonly buffer: Buffer };
const Record = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => Encoded;
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as { RecordBatch(batch: object): Promise<Encoded> };

const CONTROL = 0x20;
const LOG_APPEND_TIME = 0x08;

type Options = {
  readonly first?: number;
  readonly attributes?: number;
  readonly compress?: (bytes: Buffer) => Buffer;
  readonly lastDelta?: number;
};

/** A batch as kafkajs writes it, with what it cannot write put in by hand. */
async function batch(records: readonly object[], { first = 0, attributes = 0, compress, lastDelta }: Options = {}): Promise<Buffer> {
  const encoded = records.map((record, i) => Record({ offsetDelta: i, timestampDelta: i, ...record }));
  const { buffer } = await RecordBatch({
    records: encoded,
    firstTimestamp: 1000,
    maxTimestamp: 5000,
    lastOffsetDelta: lastDelta ?? records.length - 1,
  });
  const packed = compress === undefined ? buffer : Buffer.concat([buffer.subarray(0, 61), compress(buffer.subarray(61))]);
  packed.writeBigInt64BE(BigInt(first), 0);
  packed.writeInt32BE(packed.length - 12, 8);
  packed.writeInt16BE(attributes, 21);
  return packed;
}
const keys = (bytes: Buffer, from = 0n) => decodeBatches(bytes, from).records.map(({ key }) => key?.toString());
const record = (key: string, value: string | null = key, headers = {}) => ({ key, value, headers });

test('records come with offset, time, key, value and headers, null and empty values apart', async () => {
  const bytes = await batch([record('a', 'one', { h: 'x', größe: '' }), record('b', null), record('c', '')], { first: 7 });
  const { records, next } = decodeBatches(bytes, 0n);
  assert.equal(next, 10n);
  assert.deepEqual(
    records.map(({ offset, time, key, value, headers }) => [offset, time, key?.toString(), value?.toString(), headers]),
    [
      [7n, 1000, 'a', 'one', { h: 'x', größe: '' }],
      [8n, 1001, 'b', undefined, {}],
      [9n, 1002, 'c', '', {}],
    ],
  );
  assert.equal(records[1]?.value, null);
});

test('a batch that is cut off at the end is left for the next fetch', async () => {
  const [first, second] = [await batch([record('a')]), await batch([record('b')], { first: 1 })];
  for (const length of [0, 1, 12, 61, second.length - 1])
    assert.deepEqual(decodeBatches(Buffer.concat([first, second.subarray(0, length)]), 0n).next, 1n);
  assert.deepEqual(keys(Buffer.concat([first, second])), ['a', 'b']);
});

test('what compaction left empty is stepped over, with its whole length', async () => {
  const empty = await batch([], { first: 3, lastDelta: 6 });
  assert.deepEqual(decodeBatches(empty, 3n), { records: [], next: 10n, lastEpoch: 0 });
  assert.deepEqual(keys(Buffer.concat([empty, await batch([record('a')], { first: 10 })]), 3n), ['a']);
});

test('records before the offset that was asked for are left out', async () => {
  assert.deepEqual(keys(await batch([record('a'), record('b'), record('c')], { first: 5 }), 6n), ['b', 'c']);
});

test('records that Kafka writes for itself are left out', async () => {
  const { records, next } = decodeBatches(await batch([record('commit')], { attributes: CONTROL }), 0n);
  assert.deepEqual([records.length, next], [0, 1n]);
});

test('the broker’s time counts where the topic says so', async () => {
  const { records } = decodeBatches(await batch([record('a'), record('b')], { attributes: LOG_APPEND_TIME }), 0n);
  assert.deepEqual(
    records.map(({ time }) => time),
    [5000, 5000],
  );
});

test('gzip and zstd are read; snappy and lz4 are named', async () => {
  assert.deepEqual(keys(await batch([record('a'), record('b')], { attributes: 1, compress: gzipSync })), ['a', 'b']);
  assert.deepEqual(keys(await batch([record('a'), record('b')], { attributes: 4, compress: zstdCompressSync })), ['a', 'b']);
  for (const [codec, name] of [
    [2, /snappy/],
    [3, /lz4/],
  ] as const)
    await assert.rejects(
      async () => decodeBatches(await batch([record('a')], { attributes: codec }), 0n),
      (error) => error instanceof UnreadableBatch && name.test(error.message),
    );
});

test('offsets and times beyond 32 bits are exact', async () => {
  const bytes = await batch([{ ...record('a'), timestampDelta: 2 ** 40 }]);
  bytes.writeBigInt64BE(2n ** 60n, 0);
  const [read] = decodeBatches(bytes, 0n).records;
  assert.deepEqual([read?.offset, read?.time], [2n ** 60n, 1000 + 2 ** 40]);
});

test('an answer that ends too early is an error of range, whatever its length', async () => {
  const answer = Buffer.from('0000000000000000000000000200000000000000000000000000000000', 'hex');
  for (const call of [metadataCall('t'), fetchCall('A'.repeat(22), [{ partition: 0, offset: 0n, epoch: -1 }], { bytesMax: 1, waitMs: 0 })])
    for (let length = 0; length < 12; length++) await assert.rejects(call.response.decode(answer.subarray(0, length)), RangeError);
});
