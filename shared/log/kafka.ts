// The log as a Kafka topic, compacted, one partition unless told otherwise. A position is the topic's id and the next offset of every partition.
// We fetch from our own checkpoint and commit it to a group of the replica's name: no group is ever joined, so nothing rebalances,
// and two agents with one name do not take each other's records away.
import { DocbusError, isDocbusError } from '@docbus/core';
import { checkAborted, checkRecordSizes, recordBytesMaxDefault } from './bounds.ts';
import { createKafkaAppender } from './kafka-append.ts';
import { OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_ID, errorOfCode } from './kafka-errors.ts';
import { formatKafkaPosition, parseKafkaPosition, type KafkaOffsets } from './kafka-position.ts';
import { fetchCall, type FetchedPartition, type FetchedRecord, type FetchFrom, type FetchLimits } from './kafka-protocol.ts';
import { createKafkaSessions, patiently, StaleTopic, type KafkaSession } from './kafka-session.ts';
import { parseKafkaUrl } from './kafka-url.ts';
import type { Log, LogEnd, LogOptions, LogRecord, Position, ReadLimits, ReadRecord } from './port.ts';

/** The replica's name goes into the consumer group's: `docbus.<topic>.<replica>`. What a URL may say is in kafka-url.ts. */
export type KafkaLogOptions = LogOptions & { readonly url: string };

const REQUEST_MS = 30_000;
const FETCH_BYTES_MIN = 64 << 10;
const FETCH_BYTES_MAX = 8 << 20;
const HINT_MS = 5_000;
/** Kafka forgets the offsets of a group without members after a week (offsets.retention.minutes). */
const REPORT_AGAIN_MS = 60 * 60 * 1000;
const EARLIEST = -2;
const LATEST = -1;

/** What lies after `wanted` in one partition, as far as it was fetched. */
type Cursor = { wanted: bigint; records: readonly FetchedRecord[]; next: number; fetchAt: bigint; highWatermark: bigint };

/** What the hints have seen of a session: the end of every partition, and the questions under way, one per leader. */
type Watched = {
  session: KafkaSession | undefined;
  readonly seen: Map<number, bigint>;
  readonly asked: Map<number, Promise<readonly FetchedPartition[]>>;
};

/** Connects at the first use: an unreachable broker is an error of that use, not of opening. Throws `config_invalid`. */
export async function openKafkaLog({ url, replica, clock }: KafkaLogOptions): Promise<Log> {
  const settings = parseKafkaUrl(url);
  const { name, topic } = settings;
  const group = `docbus.${topic}.${replica}`;
  const closing = new AbortController();
  const sessions = () => createKafkaSessions({ ...settings, clientId: settings.clientId ?? `docbus-${replica}`, clock });
  // Three, because Kafka answers the requests of one connection one after another, and a failure ends a connection with all that is on it.
  const reading = sessions();
  const writing = sessions();
  const watching = sessions();
  const appender = createKafkaAppender({ sessions: writing, topic, clock });
  const ahead = new Map<number, Cursor>();
  const firsts = new Map<number, Cursor>();
  let reported: { readonly position: Position; readonly time: number } | undefined;

  const until = (signal: AbortSignal): AbortSignal => {
    const either = AbortSignal.any([signal, closing.signal]);
    checkAborted(either, name);
    return either;
  };

  const append = async (records: readonly LogRecord[], signal: AbortSignal): Promise<void> => {
    const either = until(signal);
    checkRecordSizes(records, recordBytesMaxDefault, name);
    if (records.length > 0) await appender.append(records, either);
  };

  const read = async (after: Position | undefined, limits: ReadLimits, signal: AbortSignal): Promise<readonly ReadRecord[]> =>
    await reading.use('reading', REQUEST_MS, until(signal), async (session) => {
      const offsets = await offsetsOf(session, after);
      align(ahead, offsets);
      const bytesMax = Math.min(Math.max(limits.bytesMax, FETCH_BYTES_MIN), FETCH_BYTES_MAX);
      await fill(session, ahead, bytesMax, (cursors) => cursors.some(hasRecord));
      return take(session.topic.id, offsets, limits);
    });

  /** Removes from the cursors what is returned. */
  const take = (topicId: string, offsets: KafkaOffsets, limits: ReadLimits): ReadRecord[] => {
    const now = new Map(offsets);
    const taken: ReadRecord[] = [];
    let bytes = 0;
    for (const [partition, cursor] of ahead) {
      for (let record = cursor.records[cursor.next]; record !== undefined; record = cursor.records[cursor.next]) {
        bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0);
        for (const header in record.headers) bytes += Buffer.byteLength(header) + Buffer.byteLength(record.headers[header] ?? '');
        if (taken.length === limits.recordsMax || (bytes > limits.bytesMax && taken.length > 0)) return taken;
        cursor.next += 1;
        cursor.wanted = record.offset + 1n;
        now.set(partition, cursor.wanted);
        const { value, headers, time } = record;
        taken.push({ key: record.key?.toString() ?? '', value, headers, time, position: formatKafkaPosition(topicId, now) });
      }
    }
    return taken;
  };

  const end = async (after: Position | undefined, signal: AbortSignal): Promise<LogEnd> =>
    await reading.use('looking for the end', REQUEST_MS, until(signal), async (session) => {
      align(firsts, await offsetsOf(session, after));
      // The first record of each partition is fetched once, for its time; after that the end alone is asked for.
      const known = [...firsts].filter(([, cursor]) => hasRecord(cursor)).map(([partition]) => partition);
      for (const [partition, offset] of await listOffsets(session, known, LATEST)) (firsts.get(partition) as Cursor).highWatermark = offset;
      await fill(session, firsts, 1, () => false);
      let records = 0n;
      let oldestTime: number | undefined;
      for (const cursor of firsts.values()) {
        const [first] = cursor.records;
        if (first === undefined) continue;
        cursor.records = [{ ...first, key: null, value: null, headers: {} }]; // its bytes are not needed
        if (cursor.highWatermark > first.offset) records += cursor.highWatermark - first.offset;
        oldestTime = Math.min(oldestTime ?? first.time, first.time);
      }
      return { records: Number(records), oldestTime };
    });

  const report = async (position: Position, signal: AbortSignal): Promise<void> => {
    await reading.use('committing the checkpoint', REQUEST_MS, until(signal), async (session) => {
      const partitions = [...parseKafkaPosition(position, session.topic.id, name)].map(([partition, offset]) => ({
        partition,
        offset: String(offset),
      }));
      const commit = async (): Promise<void> => {
        // Not cluster.findGroupCoordinator: it hides why there is none.
        const { coordinator } = await (await session.anyBroker()).findGroupCoordinator({ groupId: group, coordinatorType: 0 });
        const broker = await session.link.cluster.findBroker({ nodeId: String(coordinator.nodeId) });
        await broker.offsetCommit({ groupId: group, groupGenerationId: -1, memberId: '', topics: [{ topic, partitions }] });
      };
      await patiently(commit, clock, signal);
    });
    reported = { position, time: clock.now() };
  };

  async function* hints(signal: AbortSignal): AsyncGenerator<void> {
    const either = AbortSignal.any([signal, closing.signal]);
    const watched: Watched = { session: undefined, seen: new Map(), asked: new Map() };
    while (!either.aborted) {
      try {
        await watch(watched, either);
        if (reported !== undefined && clock.now() - reported.time > REPORT_AGAIN_MS) await report(reported.position, either);
      } catch (error) {
        // Whoever reads next meets the same error and says so; we only see to it that it is tried.
        if (!isDocbusError(error)) throw error;
        if (!either.aborted) await clock.sleep(1_000, either).catch(() => {});
      }
      if (!either.aborted) yield;
    }
  }

  /** Resolves when a partition grew beyond what was seen, at the latest after HINT_MS. The first look of a session only looks. */
  const watch = async (watched: Watched, signal: AbortSignal): Promise<void> =>
    await watching.use('waiting for records', HINT_MS + REQUEST_MS, signal, async (session) => {
      const { seen, asked } = watched;
      const { partitions } = session.topic;
      if (watched.session !== session) {
        const all = partitions.map(({ partition }) => partition);
        for (const [partition, offset] of await listOffsets(session, all, LATEST)) seen.set(partition, offset);
        watched.session = session;
        asked.clear();
        return;
      }
      for (const [leader, led] of Map.groupBy(partitions, (partition) => partition.leader)) {
        if (asked.has(leader)) continue;
        const from = led.map(({ partition }) => ({ partition, offset: seen.get(partition) ?? 0n }));
        const answer = fetchFrom(session, from, { bytesMax: 1, waitMs: HINT_MS }).finally(() => {
          if (asked.get(leader) === answer) asked.delete(leader);
        });
        answer.catch(() => {}); // with several leaders nobody may be waiting for this one when it fails; the next question shows it
        asked.set(leader, answer);
      }
      for (const fetched of await Promise.race(asked.values())) {
        if (fetched.error === OFFSET_OUT_OF_RANGE) watched.session = undefined;
        else seen.set(fetched.partition, fetched.highWatermark);
      }
    });

  const identity = async (signal: AbortSignal): Promise<string> =>
    await reading.use('asking for the topic', REQUEST_MS, until(signal), async (session) => (await session.refresh()).id);

  /** Every partition's next offset. Rejects with `log_recreated` where the position is another topic's. */
  const offsetsOf = async (session: KafkaSession, after: Position | undefined): Promise<KafkaOffsets> => {
    const given = after === undefined ? new Map<number, bigint>() : parseKafkaPosition(after, session.topic.id, name);
    const missing = session.topic.partitions.map(({ partition }) => partition).filter((partition) => !given.has(partition));
    return new Map([...given, ...(await listOffsets(session, missing, EARLIEST))]);
  };

  /** Fetches until `enough`, or until every partition's end is reached. */
  const fill = async (
    session: KafkaSession,
    cursors: Map<number, Cursor>,
    bytesMax: number,
    enough: (cursors: readonly Cursor[]) => boolean,
  ): Promise<void> => {
    for (let idle = 0; ;) {
      const all = [...cursors.values()];
      const open = [...cursors].filter(([, cursor]) => !hasRecord(cursor) && !isAtEnd(cursor));
      if (open.length === 0 || enough(all)) return;
      let moved = false;
      const from = open.map(([partition, { fetchAt }]) => ({ partition, offset: fetchAt }));
      for (const fetched of await fetchFrom(session, from, { bytesMax, waitMs: 0 })) {
        const cursor = cursors.get(fetched.partition) as Cursor;
        if (fetched.error === OFFSET_OUT_OF_RANGE)
          throw new DocbusError(
            'position_expired',
            `${name} no longer holds what follows offset ${cursor.fetchAt} of partition ${fetched.partition}: it was cut off (retention), or the log is shorter than it was. Starting over from the first record.`,
          );
        cursor.records = fetched.records;
        cursor.next = 0;
        moved ||= cursor.highWatermark !== fetched.highWatermark || (fetched.next ?? 0n) > cursor.fetchAt;
        cursor.highWatermark = fetched.highWatermark;
        if (fetched.next !== undefined && fetched.next > cursor.fetchAt) cursor.fetchAt = fetched.next;
      }
      if (!moved && (idle += 1) > 3)
        throw new DocbusError('log_busy', `${name} says that there are records, but gives none. Look whether its brokers are well.`);
    }
  };

  /** Rejects with StaleTopic where the topic is another one by now. */
  const fetchFrom = async (
    { topic: { id, partitions }, brokerOf }: KafkaSession,
    from: readonly FetchFrom[],
    limits: FetchLimits,
  ): Promise<readonly FetchedPartition[]> => {
    const leaders = Map.groupBy(from, ({ partition }) => partitions.find((known) => known.partition === partition)?.leader ?? -1);
    const answers = [...leaders].map(
      async ([leader, list]) => await (await brokerOf(leader)).connectionPool.send(fetchCall(id, list, limits)),
    );
    const fetched = (await Promise.all(answers)).flat();
    for (const { error } of fetched) {
      if (error >= UNKNOWN_TOPIC_ID || error === 3) throw new StaleTopic();
      if (error !== 0 && error !== OFFSET_OUT_OF_RANGE) throw errorOfCode(error);
    }
    return fetched;
  };

  const listOffsets = async (
    { topic: { partitions }, brokerOf }: KafkaSession,
    wanted: readonly number[],
    timestamp: number,
  ): Promise<(readonly [number, bigint])[]> => {
    const leaders = Map.groupBy(wanted, (partition) => partitions.find((known) => known.partition === partition)?.leader ?? -1);
    const answers = [...leaders].map(async ([leader, list]) => {
      const topics = [{ topic, partitions: list.map((partition) => ({ partition, timestamp })) }];
      return await (await brokerOf(leader)).listOffsets({ isolationLevel: 0, topics });
    });
    const found = (await Promise.all(answers)).flatMap(({ responses }) => responses.flatMap((response) => response.partitions));
    return found.map(({ partition, offset }) => [partition, BigInt(offset)] as const);
  };

  const dispose = async (): Promise<void> => {
    closing.abort();
    await Promise.all([reading, writing, watching].map((each) => each[Symbol.asyncDispose]()));
  };
  return { name, recordBytesMax: recordBytesMaxDefault, append, read, end, report, hints, identity, [Symbol.asyncDispose]: dispose };
}

const hasRecord = (cursor: Cursor): boolean => cursor.next < cursor.records.length;
/** -1 stands for an end that was not asked for since. */
const isAtEnd = (cursor: Cursor): boolean => cursor.highWatermark >= 0n && cursor.fetchAt >= cursor.highWatermark;

/** Keeps what was fetched for exactly these offsets, forgets the rest. */
function align(cursors: Map<number, Cursor>, offsets: KafkaOffsets): void {
  for (const partition of cursors.keys()) if (!offsets.has(partition)) cursors.delete(partition);
  for (const [partition, offset] of offsets) {
    const known = cursors.get(partition);
    if (known?.wanted === offset) known.highWatermark = -1n; // there may be more by now
    else cursors.set(partition, { wanted: offset, records: [], next: 0, fetchAt: offset, highWatermark: -1n });
  }
}
