// Fetching: what lies after the offsets that a reader wants, as far as it was fetched, and how the brokers are asked for more.
import { DocbusError } from '@docbus/core';
import { errorOfCode, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } from './kafka-errors.ts';
import type { KafkaOffsets, KafkaPlace } from './kafka-position.ts';
import { fetchCall, type FetchedPartition, type FetchedRecord, type FetchFrom, type FetchLimits } from './kafka-protocol.ts';
import { StaleTopic, type KafkaSession } from './kafka-session.ts';

/** One partition. `wanted` is where the reader is; `highWatermark` is -1 while the end was not asked for since. */
export type Cursor = {
  wanted: KafkaPlace;
  records: readonly FetchedRecord[];
  /** index of the first record not taken yet */
  next: number;
  fetchAt: KafkaPlace;
  highWatermark: bigint;
  /** the record before `wanted` was compared on this connection, or there is nothing to compare */
  isChecked: boolean;
};
export type Cursors = Map<number, Cursor>;

export const EARLIEST = -2;
export const LATEST = -1;

export const hasRecord = (cursor: Cursor): boolean => cursor.next < cursor.records.length;
const isAtEnd = (cursor: Cursor): boolean => cursor.highWatermark >= 0n && cursor.fetchAt.offset >= cursor.highWatermark;

/** Keeps what was fetched for exactly these offsets, forgets the rest. */
export function align(cursors: Cursors, offsets: KafkaOffsets): void {
  for (const partition of cursors.keys()) if (!offsets.has(partition)) cursors.delete(partition);
  for (const [partition, place] of offsets) {
    const known = cursors.get(partition);
    if (known?.wanted.offset === place.offset && known.wanted.mark === place.mark) known.highWatermark = -1n;
    else cursors.set(partition, { wanted: place, records: [], next: 0, fetchAt: place, highWatermark: -1n, isChecked: place.mark === '' });
  }
}

/** Fetches until `enough`, or until every partition has a record or is at its end. Rejects with `position_expired` and `log_tail_lost`. */
export async function fill(
  session: KafkaSession,
  cursors: Cursors,
  bytesMax: number,
  enough: (cursors: readonly Cursor[]) => boolean,
): Promise<void> {
  for (const [partition, cursor] of cursors) if (!cursor.isChecked) await check(session, partition, cursor);
  for (let idle = 0; ;) {
    const open = [...cursors].filter(([, cursor]) => !hasRecord(cursor) && !isAtEnd(cursor));
    if (open.length === 0 || enough([...cursors.values()])) return;
    const from = open.map(([partition, { fetchAt }]) => ({ partition, ...fetchAt }));
    const answer = await fetchFrom(session, from, { bytesMax, waitMs: 0 });
    if (session.link.isBroken()) throw new Error('This reading was given up; another one may use the cursors by now.');
    let moved = false;
    for (const { partition, error, records, next, lastEpoch, highWatermark, divergedAt } of answer) {
      const cursor = cursors.get(partition) as Cursor;
      const { offset } = cursor.fetchAt;
      if (error === OFFSET_OUT_OF_RANGE) throw await outOfRange(session, partition, offset);
      if (divergedAt !== undefined) throw tailLost(partition, offset, `what was read ends at ${divergedAt} in it`);
      moved ||= cursor.highWatermark !== highWatermark || (next ?? 0n) > offset;
      Object.assign(cursor, { records, next: 0, highWatermark });
      if (next !== undefined && next > offset) cursor.fetchAt = { offset: next, epoch: lastEpoch, mark: '' };
    }
    if (!moved && (idle += 1) > 3)
      throw new DocbusError(
        'log_busy',
        'Kafka says that there are records in the topic, but gives none. Look whether its brokers are well.',
      );
  }
}

/**
 * Is the record before `wanted` the one that was read? Where the leader's epoch changed with the loss, the broker knows; but Kafka 3.9
 * was seen to go on in the same epoch. A record that compaction took cannot be compared: it was flushed long ago.
 */
async function check(session: KafkaSession, partition: number, cursor: Cursor): Promise<void> {
  const { offset, mark } = cursor.wanted;
  const from = [{ partition, offset: offset - 1n, epoch: -1 }];
  const [answer] = await fetchFrom(session, from, { bytesMax: 1, waitMs: 0 });
  if (session.link.isBroken()) throw new Error('This reading was given up; another one may use the cursors by now.');
  const record = answer?.records[0];
  if (record?.offset === offset - 1n && record.mark !== mark) throw tailLost(partition, offset, 'others were appended in their place');
  // Nothing there: the log is shorter, which the next fetch says, or the broker does not know its end yet.
  cursor.isChecked = record !== undefined || answer?.error === OFFSET_OUT_OF_RANGE;
}

/** Kafka says the same of an offset that is too small and of one that is too large. */
async function outOfRange(session: KafkaSession, partition: number, offset: bigint): Promise<DocbusError> {
  const [[, first] = [partition, 0n]] = await listOffsets(session, [partition], EARLIEST);
  if (offset >= first) return tailLost(partition, offset, 'it is shorter than it was');
  return new DocbusError(
    'position_expired',
    `The Kafka topic no longer holds what follows offset ${offset} of partition ${partition}: it was cut off (retention) before ${first}. Starting over from the first record.`,
  );
}

/** Kafka does not flush to disk before it acknowledges: a broker without others that loses power has lost its last records. */
function tailLost(partition: number, offset: bigint, how: string): DocbusError {
  return new DocbusError(
    'log_tail_lost',
    `The Kafka topic has lost records that had been read, up to offset ${offset} of partition ${partition}: ${how}. It has to be read again from its first record.`,
  );
}

/** Asks every partition's leader. Rejects with StaleTopic where the topic is another one by now. */
export async function fetchFrom(
  { topic: { id, partitions }, brokerOf }: KafkaSession,
  from: readonly FetchFrom[],
  limits: FetchLimits,
): Promise<readonly FetchedPartition[]> {
  const leaders = Map.groupBy(from, ({ partition }) => partitions.find((known) => known.partition === partition)?.leader ?? -1);
  const answers = [...leaders].map(
    async ([leader, list]) => await (await brokerOf(leader)).connectionPool.send(fetchCall(id, list, limits)),
  );
  const fetched = (await Promise.all(answers)).flat();
  for (const { error } of fetched) {
    if (error >= UNKNOWN_TOPIC_ID || error === UNKNOWN_TOPIC_OR_PARTITION) throw new StaleTopic();
    if (error !== 0 && error !== OFFSET_OUT_OF_RANGE) throw errorOfCode(error);
  }
  return fetched;
}

/** The first (EARLIEST) or the next (LATEST) offset of each partition. */
export async function listOffsets(
  { topic: { name, partitions }, brokerOf }: KafkaSession,
  wanted: readonly number[],
  timestamp: number,
): Promise<(readonly [number, bigint])[]> {
  const leaders = Map.groupBy(wanted, (partition) => partitions.find((known) => known.partition === partition)?.leader ?? -1);
  const answers = [...leaders].map(async ([leader, list]) => {
    const topics = [{ topic: name, partitions: list.map((partition) => ({ partition, timestamp })) }];
    return await (await brokerOf(leader)).listOffsets({ isolationLevel: 0, topics });
  });
  const found = (await Promise.all(answers)).flatMap(({ responses }) => responses.flatMap((response) => response.partitions));
  return found.map(({ partition, offset }) => [partition, BigInt(offset)] as const);
}
