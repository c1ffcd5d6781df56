// Fetching: what lies after the offsets that a reader wants, as far as it was fetched, and how the brokers are asked for more.
import { DocbusError } from '@docbus/core';
import { errorOfCode, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } from './kafka-errors.ts';
import type { KafkaOffsets } from './kafka-position.ts';
import { fetchCall, type FetchedPartition, type FetchedRecord, type FetchFrom, type FetchLimits } from './kafka-protocol.ts';
import { StaleTopic, type KafkaSession } from './kafka-session.ts';

/** One partition. `wanted` is where the reader is; `highWatermark` is -1 while the end was not asked for since. */
export type Cursor = {
  wanted: bigint;
  records: readonly FetchedRecord[];
  /** index of the first record not taken yet */
  next: number;
  fetchAt: bigint;
  highWatermark: bigint;
};
export type Cursors = Map<number, Cursor>;

export const EARLIEST = -2;
export const LATEST = -1;

export const hasRecord = (cursor: Cursor): boolean => cursor.next < cursor.records.length;
const isAtEnd = (cursor: Cursor): boolean => cursor.highWatermark >= 0n && cursor.fetchAt >= cursor.highWatermark;

/** Keeps what was fetched for exactly these offsets, forgets the rest. */
export function align(cursors: Cursors, offsets: KafkaOffsets): void {
  for (const partition of cursors.keys()) if (!offsets.has(partition)) cursors.delete(partition);
  for (const [partition, offset] of offsets) {
    const known = cursors.get(partition);
    if (known?.wanted === offset) known.highWatermark = -1n;
    else cursors.set(partition, { wanted: offset, records: [], next: 0, fetchAt: offset, highWatermark: -1n });
  }
}

/** Fetches until `enough`, or until every partition has a record or is at its end. Rejects with `position_expired`. */
export async function fill(
  session: KafkaSession,
  cursors: Cursors,
  bytesMax: number,
  enough: (cursors: readonly Cursor[]) => boolean,
): Promise<void> {
  for (let idle = 0; ;) {
    const open = [...cursors].filter(([, cursor]) => !hasRecord(cursor) && !isAtEnd(cursor));
    if (open.length === 0 || enough([...cursors.values()])) return;
    const from = open.map(([partition, { fetchAt }]) => ({ partition, offset: fetchAt }));
    const answer = await fetchFrom(session, from, { bytesMax, waitMs: 0 });
    if (session.link.isBroken()) throw new Error('This reading was given up; another one may use the cursors by now.');
    let moved = false;
    for (const { partition, error, records, next, highWatermark } of answer) {
      const cursor = cursors.get(partition) as Cursor;
      if (error === OFFSET_OUT_OF_RANGE)
        throw new DocbusError(
          'position_expired',
          `The Kafka topic no longer holds what follows offset ${cursor.fetchAt} of partition ${partition}: it was cut off (retention), or the topic is shorter than it was. Starting over from the first record.`,
        );
      moved ||= cursor.highWatermark !== highWatermark || (next ?? 0n) > cursor.fetchAt;
      Object.assign(cursor, { records, next: 0, highWatermark });
      if (next !== undefined && next > cursor.fetchAt) cursor.fetchAt = next;
    }
    if (!moved && (idle += 1) > 3)
      throw new DocbusError(
        'log_busy',
        'Kafka says that there are records in the topic, but gives none. Look whether its brokers are well.',
      );
  }
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
