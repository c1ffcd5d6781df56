// What the products' own clients do with the same records at the same durability, and nothing else: the measure for our drivers.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { connect, type ConsumeMessage } from 'amqplib';
import { Kafka, logLevel } from 'kafkajs';
import type { LogRecord } from '@docbus/log/port.ts';
import { openKafkaAdmin } from '../log/kafka-admin.ts';
import type { LogKind } from './broker.ts';

export type BareLog = AsyncDisposable & {
  /** Durable when it resolves. */
  append(records: readonly LogRecord[]): Promise<void>;
  /** Reads everything from the first record on; records per second. */
  readAll(count: number): Promise<number>;
};

export async function openBare(kind: LogKind, address: string, place: string): Promise<BareLog> {
  switch (kind) {
    case 'sqlite':
      return openBareSqlite(join(place, 'bare.db'));
    case 'kafka':
      return await openBareKafka(address, `bare-${crypto.randomUUID()}`);
    case 'rabbitmq':
      return await openBareRabbit(address, `bare-${crypto.randomUUID()}`);
  }
}

/** Counts from now on and tells records per second when all have come. */
export function createMeter(count: number): { took(records: number): void; readonly done: Promise<number> } {
  const { promise, resolve } = Promise.withResolvers<number>();
  const started = performance.now();
  let seen = 0;
  return {
    took(records) {
      seen += records;
      if (seen >= count) resolve((seen * 1000) / (performance.now() - started));
    },
    done: promise,
  };
}

function openBareSqlite(file: string): BareLog {
  const database = new DatabaseSync(file);
  database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4000');
  // As Kafka's bare topic compacts, this one holds a key once.
  database.exec(
    'create table log (position integer primary key autoincrement, key text not null unique, value blob, headers text, time integer) strict',
  );
  const put = database.prepare('insert or replace into log (key, value, headers, time) values (?, ?, ?, ?)');
  const next = database.prepare('select position, key, value, headers, time from log where position > ? order by position limit ?');
  const READ = 100;
  return {
    append: async (records) => {
      database.exec('begin immediate');
      for (const { key, value, headers } of records) put.run(key, value, JSON.stringify(headers), Date.now());
      database.exec('commit');
    },
    readAll: async (count) => {
      const meter = createMeter(count);
      for (let position = 0; ;) {
        const rows = next.all(position, READ);
        if (rows.length === 0) return await meter.done;
        position = Number(rows.at(-1)?.['position']);
        meter.took(rows.length);
      }
    },
    [Symbol.asyncDispose]: async () => database.close(),
  };
}

/** A batch must fit the topic's max.message.bytes, as docbus makes it. */
const KAFKA_BATCH_BYTES = 1_900_000;
const KAFKA_FETCH_BYTES = 16 << 20;

async function openBareKafka(address: string, topic: string): Promise<BareLog> {
  const kafka = new Kafka({ brokers: [address], clientId: 'bare', logLevel: logLevel.NOTHING });
  {
    await using admin = await openKafkaAdmin(address);
    await admin.create(topic, { 'cleanup.policy': 'compact', 'max.message.bytes': String(2 << 20) });
  }
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const consumer = kafka.consumer({
    groupId: topic,
    maxBytes: KAFKA_FETCH_BYTES,
    maxBytesPerPartition: KAFKA_FETCH_BYTES,
    maxWaitTimeInMs: 5, // what it may wait before it hears that it shall go on
  });
  await consumer.connect();
  await consumer.subscribe({ topic });
  let took: ((records: number) => void) | undefined;
  const { promise: joined, resolve } = Promise.withResolvers<void>();
  consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  await consumer.run({ eachBatchAutoResolve: true, eachBatch: async ({ batch }) => took?.(batch.messages.length) });
  await joined;
  consumer.pause([{ topic }]);
  return {
    append: async (records) => {
      for (const messages of batchesOf(records, KAFKA_BATCH_BYTES))
        await producer.send({
          topic,
          acks: -1,
          messages: messages.map(({ key, value, headers }) => ({ key, value: value as Buffer, headers })),
        });
    },
    readAll: async (count) => {
      const meter = createMeter(count);
      took = meter.took;
      consumer.seek({ topic, partition: 0, offset: '0' });
      consumer.resume([{ topic }]);
      const rate = await meter.done;
      consumer.pause([{ topic }]);
      took = undefined;
      return rate;
    },
    [Symbol.asyncDispose]: async () => {
      await consumer.disconnect();
      await producer.disconnect();
    },
  };
}

function* batchesOf(records: readonly LogRecord[], bytesMax: number): Generator<readonly LogRecord[]> {
  let batch: LogRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = (record.value?.length ?? 0) + 300;
    if (batch.length > 0 && bytes + size > bytesMax) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}

const RABBIT_WINDOW = 200;
const RABBIT_PREFETCH = 100;

async function openBareRabbit(address: string, stream: string): Promise<BareLog> {
  const connection = await connect(address, { noDelay: true });
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(stream, { durable: true, arguments: { 'x-queue-type': 'stream' } });
  return {
    append: async (records) => {
      let waiting = 0;
      let wake = (): void => {};
      let problem: Error | undefined;
      for (const { key, value, headers } of records) {
        while (waiting >= RABBIT_WINDOW) await new Promise<void>((resolve) => (wake = resolve));
        waiting += 1;
        channel.publish('', stream, value as Buffer, { persistent: true, headers: { ...headers, key } }, (error: unknown) => {
          if (error instanceof Error) problem ??= error;
          waiting -= 1;
          wake();
        });
      }
      while (waiting > 0) await new Promise<void>((resolve) => (wake = resolve));
      if (problem !== undefined) throw problem;
    },
    readAll: async (count) => {
      const meter = createMeter(count);
      const reading = await connection.createChannel();
      await reading.prefetch(RABBIT_PREFETCH);
      const take = (message: ConsumeMessage | null): void => {
        if (message === null) return;
        reading.ack(message);
        meter.took(1);
      };
      await reading.consume(stream, take, { arguments: { 'x-stream-offset': 'first' } });
      const rate = await meter.done;
      await reading.close();
      return rate;
    },
    [Symbol.asyncDispose]: async () => await connection.close(),
  };
}
