// The log as a Kafka topic, compacted, one partition unless told otherwise. A position is the topic's id and, of every
// partition, the next offset with the leader epoch and the mark of the record before it, so that a topic that lost its tail is recognised.
// We fetch from our own checkpoint and commit it to a group of the replica's name: no group is ever joined, so nothing rebalances,
// and two agents with one name do not take each other's records away.
import { isDocbusError } from '@docbus/core';
import { checkAborted, checkRecordSizes, recordBytes, recordBytesMaxDefault } from './bounds.ts';
import { createKafkaAppender } from './kafka-append.ts';
import { OFFSET_OUT_OF_RANGE } from './kafka-errors.ts';
import { align, EARLIEST, fetchFrom, fill, hasRecord, LATEST, listOffsets, type Cursor, type Cursors } from './kafka-fetch.ts';
import { formatKafkaPosition, parseKafkaPosition, type KafkaOffsets, type KafkaPlace } from './kafka-position.ts';
import type { FetchedPartition, FetchedRecord } from './kafka-protocol.ts';
import { createKafkaSessions, patiently, type KafkaSession } from './kafka-session.ts';
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

/** What the hints have seen of a session: the end of every partition, and the questions under way, one per leader. */
type Watched = {
  session: KafkaSession | undefined;
  readonly seen: Map<number, bigint>;
  readonly asked: Map<number, Promise<readonly FetchedPartition[]>>;
};

/** Connects at the first use: an unreachable broker is an error of that use, not of opening. Throws `config_invalid`. */
export async function openKafkaLog({ url, replica, clock }: KafkaLogOptions, opening: AbortSignal): Promise<Log> {
  const settings = parseKafkaUrl(url);
  const { name, topic } = settings;
  checkAborted(opening, name);
  const group = `docbus.${topic}.${replica}`;
  const closing = new AbortController();
  const sessions = () => createKafkaSessions({ ...settings, clientId: settings.clientId ?? `docbus-${replica}`, clock });
  // Three, because Kafka answers the requests of one connection one after another, and a failure ends a connection with all that is on it.
  const reading = sessions();
  const writing = sessions();
  const watching = sessions();
  const appender = createKafkaAppender({ sessions: writing, topic, clock });
  const ahead: Cursors = new Map();
  const firsts: Cursors = new Map();
  /** the session that these are of */
  let known: KafkaSession | undefined;
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
      renew(session);
      align(ahead, offsets);
      const bytesMax = Math.min(Math.max(limits.bytesMax, FETCH_BYTES_MIN), FETCH_BYTES_MAX);
      await fill(session, ahead, bytesMax, (cursors) => cursors.some(hasRecord));
      return take(session.topic.id, offsets, limits);
    });

  /** What came over another connection may be gone from the log since. */
  const renew = (session: KafkaSession): void => {
    if (session === known) return;
    known = session;
    ahead.clear();
    firsts.clear();
  };

  /** Removes from the cursors what is returned. Of several partitions the oldest record comes first, as near as their times tell. */
  const take = (topicId: string, offsets: KafkaOffsets, limits: ReadLimits): ReadRecord[] => {
    const now = new Map(offsets);
    const taken: ReadRecord[] = [];
    let bytes = 0;
    while (taken.length < limits.recordsMax) {
      let oldest: { readonly partition: number; readonly cursor: Cursor; readonly record: FetchedRecord } | undefined;
      for (const [partition, cursor] of ahead) {
        const record = cursor.records[cursor.next];
        if (record !== undefined && (oldest === undefined || record.time < oldest.record.time)) oldest = { partition, cursor, record };
      }
      if (oldest === undefined) return taken;
      const { partition, cursor, record } = oldest;
      const { value, headers, time } = record;
      const key = record.key?.toString() ?? '';
      bytes += recordBytes({ key, value, headers });
      if (bytes > limits.bytesMax && taken.length > 0) return taken;
      cursor.next += 1;
      cursor.wanted = { offset: record.offset + 1n, epoch: record.epoch, mark: record.mark };
      now.set(partition, cursor.wanted);
      taken.push({ key, value, headers, time, position: formatKafkaPosition(topicId, now) });
    }
    return taken;
  };

  const end = async (after: Position | undefined, signal: AbortSignal): Promise<LogEnd> =>
    await reading.use('looking for the end', REQUEST_MS, until(signal), async (session) => {
      const offsets = await offsetsOf(session, after);
      renew(session);
      align(firsts, offsets);
      // The first record of each partition is fetched once, for its time; after that the end alone is asked for.
      const found = [...firsts].filter(([, cursor]) => hasRecord(cursor)).map(([partition]) => partition);
      for (const [partition, offset] of await listOffsets(session, found, LATEST)) {
        const cursor = firsts.get(partition) as Cursor;
        if (offset > (cursor.records[0]?.offset ?? offset)) cursor.highWatermark = offset;
        else Object.assign(cursor, { records: [], next: 0, fetchAt: cursor.wanted }); // it is gone: look again
      }
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
      const partitions = [...parseKafkaPosition(position, session.topic.id, name)].map(([partition, { offset }]) => ({
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
        const from = led.map(({ partition }) => ({ partition, offset: seen.get(partition) ?? 0n, epoch: -1 }));
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

  /** Where to go on in every partition. Rejects with `log_recreated` where the position is another topic's. */
  const offsetsOf = async (session: KafkaSession, after: Position | undefined): Promise<KafkaOffsets> => {
    const given = after === undefined ? new Map<number, KafkaPlace>() : parseKafkaPosition(after, session.topic.id, name);
    const missing = session.topic.partitions.map(({ partition }) => partition).filter((partition) => !given.has(partition));
    const first = (await listOffsets(session, missing, EARLIEST)).map(
      ([partition, offset]) => [partition, { offset, epoch: -1, mark: '' }] as const,
    );
    return new Map([...given, ...first]);
  };

  const dispose = async (): Promise<void> => {
    closing.abort();
    await Promise.all([reading, writing, watching].map((each) => each[Symbol.asyncDispose]()));
  };
  return { name, recordBytesMax: recordBytesMaxDefault, append, read, end, report, hints, identity, [Symbol.asyncDispose]: dispose };
}
