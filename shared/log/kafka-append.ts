// Appending: acks=all, idempotent, one batch in flight per partition, not compressed (payloads are already).
// A producer's id does not outlive a failure: Kafka takes another batch of the same size and sequence for a repetition, says that it was
// written, and drops it. Only the very same batch may be sent again under its number.
import { DocbusError, isDocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { recordBytes } from './bounds.ts';
import type { KafkaMessage } from './kafka-client.ts';
import { kafkaErrorType } from './kafka-errors.ts';
import { partitionOf } from './kafka-position.ts';
import { patiently, type KafkaSession, type KafkaSessions } from './kafka-session.ts';
import type { LogRecord } from './port.ts';

type Sized = KafkaMessage & { readonly bytes: number };
type Producer = { readonly id: string; readonly epoch: number; readonly sequences: Map<number, number> };

const APPEND_MS = 30_000;
/** A lost connection or a moved leader is tried again this often, if it was lost quickly. More is the agent's business. */
const ATTEMPTS = 3;
const QUICK_MS = 5_000;
const BATCH_RECORDS_MAX = 10_000;
const BATCH_HEADER_BYTES = 128;
const SEQUENCE_MAX = 2 ** 31 - 1;

export function createKafkaAppender({
  sessions,
  topic,
  clock,
}: {
  readonly sessions: KafkaSessions;
  readonly topic: string;
  readonly clock: Clock;
}) {
  let producer: Producer | undefined;

  const append = async (records: readonly LogRecord[], signal: AbortSignal): Promise<void> => {
    const messages = records.map(toMessage);
    let left: Map<number, Sized[]> | undefined; // what is not acknowledged yet, by partition
    const started = clock.now();
    for (let attempt = 1; ; attempt++) {
      try {
        await sessions.use('appending', APPEND_MS, signal, async (session, alive) => {
          left ??= Map.groupBy(messages, ({ key }) => partitionOf(key, session.topic.partitions.length));
          producer ??= await openProducer(session, signal);
          const sending = [...left].map(([partition, list]) => sendAll(session, producer as Producer, partition, list, alive));
          for (const sent of await Promise.allSettled(sending)) if (sent.status === 'rejected') throw sent.reason;
        });
        return;
      } catch (error) {
        const isPassing = isDocbusError(error, 'log_unreachable', 'log_busy') && !isForgotten(error.cause);
        if (!isPassing || attempt === ATTEMPTS || clock.now() - started > QUICK_MS || signal.aborted) {
          producer = undefined;
          throw error;
        }
        await clock.sleep(100 * attempt ** 2, signal).catch(() => {});
      }
    }
  };

  /** Sends a partition's records in order and takes what is acknowledged off the list. */
  const sendAll = async (
    { link, topic: { partitions, batchBytesMax }, brokerOf }: KafkaSession,
    { id, epoch, sequences }: Producer,
    partition: number,
    list: Sized[],
    alive: () => void,
  ): Promise<void> => {
    let bytesMax = batchBytesMax - BATCH_HEADER_BYTES;
    while (list.length > 0) {
      const count = batchLength(list, bytesMax);
      const firstSequence = sequences.get(partition) ?? 0;
      const topicData = [{ topic, partitions: [{ partition, firstSequence, messages: list.slice(0, count) }] }];
      try {
        const broker = await brokerOf(partitions.find((known) => known.partition === partition)?.leader ?? -1);
        await broker.produce({ acks: -1, timeout: APPEND_MS, producerId: id, producerEpoch: epoch, topicData });
      } catch (error) {
        if (!isTooLarge(error)) throw error;
        const [first] = list as [Sized];
        if (count === 1) throw tooLarge(first, error);
        bytesMax = Math.floor(list.slice(0, count).reduce((sum, { bytes }) => sum + bytes, 0) / 2); // the topic's limit was lowered
        continue;
      }
      if (link.isBroken()) return; // given up meanwhile: this batch is sent again and recognised
      sequences.set(partition, (firstSequence + count) % (SEQUENCE_MAX + 1));
      list.splice(0, count);
      alive();
    }
  };

  const openProducer = async (session: KafkaSession, signal: AbortSignal): Promise<Producer> => {
    const open = async () => await (await session.anyBroker()).initProducerId({ transactionTimeout: APPEND_MS });
    const { producerId, producerEpoch } = await patiently(open, clock, signal);
    return { id: producerId, epoch: producerEpoch, sequences: new Map() };
  };

  const tooLarge = (record: Sized, cause: unknown): DocbusError =>
    new DocbusError(
      'record_too_large',
      `The Kafka topic ${topic} does not take a record of ${record.bytes} bytes (${record.key.slice(0, 120)}). Raise its max.message.bytes: kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config max.message.bytes=2097152`,
      { cause },
    );

  return { append };
}

function toMessage(record: LogRecord): Sized {
  const { key, value, headers } = record;
  const buffer = value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  // Kafka frames a record with at most 36 bytes, and a header with at most 10.
  return { key, value: buffer, headers, bytes: recordBytes(record) + 36 + 10 * Object.keys(headers).length };
}

/** How many records fit a batch: at least one. */
function batchLength(list: readonly Sized[], bytesMax: number): number {
  let bytes = 0;
  for (const [count, record] of list.entries()) {
    bytes += record.bytes;
    if (count > 0 && (bytes > bytesMax || count === BATCH_RECORDS_MAX)) return count;
  }
  return list.length;
}

function isTooLarge(error: unknown): boolean {
  const type = kafkaErrorType(error);
  return type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE';
}

/** The broker does not know our producer, or not at this number: with another id all is well. */
function isForgotten(cause: unknown): boolean {
  const type = kafkaErrorType(cause) ?? '';
  return ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'DUPLICATE_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH'].includes(type);
}
