// A sealed log on a real Kafka, a real RabbitMQ and a file: the suite of all drivers holds through the seal, and what belongs together stays
// in one partition.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect } from 'amqplib';
import { documentKey, parseDocPath, sha256, type Change } from '@docbus/core';
import { createSealedLog, decodeRecord, recordsOf } from '@docbus/log';
import { logConformance } from '@docbus/log/conformance.ts';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { openRabbitLog } from '@docbus/log/rabbitmq.ts';
import { openSqliteLog } from '@docbus/log/sqlite.ts';
import type { Log, LogRecord, Position } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';
import { openKafkaAdmin } from './kafka-admin.ts';

const never = new AbortController().signal;
const ofTheDriver = {
  truncate: { cannot: 'the driver is tested for it without a seal' },
  loseTail: { cannot: 'the driver is tested for it without a seal' },
};
const secrets = ['a-secret-a-secret-a-secret-a-secret'];

describe('a sealed log on Kafka', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-sealed-'));
  let server: KafkaServer;
  before(async () => {
    server = await startKafka({ directory: join(directory, 'kafka'), version: '4.x' });
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  const open = async (topic: string, partitions: number, replica: string): Promise<Log> => {
    const url = `kafka://${server.address}/${topic}?partitions=${partitions}&check=false`;
    return createSealedLog(await openKafkaLog({ url, replica, clock: systemClock }, never), { secrets, replica, clock: systemClock });
  };

  logConformance('Kafka, sealed', {
    compactsAtAppend: false,
    deadlineMs: 20_000,
    create: async () => {
      const topic = `docbus-${randomUUID()}`;
      return {
        open: async (replica) => await open(topic, 1, replica),
        recreate: async () => {
          await using admin = await openKafkaAdmin(server.address);
          await admin.remove(topic);
        },
        ...ofTheDriver,
        [Symbol.asyncDispose]: async () => {},
      };
    },
  });

  test('of several partitions one holds a change and its parts, in their order', async () => {
    const topic = `docbus-${randomUUID()}`;
    await using log = await open(topic, 4, 'a');
    const records: LogRecord[] = Array.from({ length: 12 }, (_, i) => recordsOf(document(i), Buffer.alloc(600_000, `${i} `))).flat();
    for (const half of [records.slice(0, 17), records.slice(17)]) await log.append(half, never);

    const parts = new Map<string, number>();
    let changes = 0;
    let position: Position | undefined;
    for (let left = records.length; left > 0;) {
      for (const record of await log.read(position, { recordsMax: 5, bytesMax: 1 << 20 }, never)) {
        position = record.position;
        left -= 1;
        const decoded = decodeRecord(record);
        if (decoded.type === 'part') {
          assert.equal(decoded.index, parts.get(decoded.key) ?? 0);
          parts.set(decoded.key, decoded.index + 1);
        }
        if (decoded.type === 'change') changes += Number(parts.get(decoded.change.key) === 2);
      }
    }
    assert.equal(changes, 12);
    assert.ok((position?.match(/\d=[1-9]/g) ?? []).length > 1, `several partitions are used: ${position}`);
  });
});

describe('a sealed log on RabbitMQ', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-sealed-'));
  let server: RabbitServer;
  before(async () => {
    server = await startRabbit({ directory: join(directory, 'rabbitmq') });
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  logConformance('RabbitMQ, sealed', {
    compactsAtAppend: false,
    deadlineMs: 20_000,
    create: async () => {
      const stream = `docbus-${randomUUID()}`;
      const url = `${server.url}?stream=${stream}`;
      return {
        open: async (replica) =>
          createSealedLog(await openRabbitLog({ url, replica, clock: systemClock }, never), { secrets, replica, clock: systemClock }),
        recreate: async () => {
          const connection = await connect(server.url);
          await (await connection.createChannel()).deleteQueue(stream);
          await connection.close();
        },
        ...ofTheDriver,
        [Symbol.asyncDispose]: async () => {},
      };
    },
  });
});

describe('a sealed log in a file', () => {
  logConformance('sqlite, sealed', {
    compactsAtAppend: true,
    deadlineMs: 10_000,
    create: async () => {
      const directory = mkdtempSync(join(tmpdir(), 'docbus-sealed-'));
      const path = join(directory, 'log.db');
      return {
        open: async (replica) =>
          createSealedLog(openSqliteLog({ path, replica, clock: systemClock }), { secrets, replica, clock: systemClock }),
        recreate: async () => {
          for (const suffix of ['', '-wal', '-shm', '-hint']) rmSync(path + suffix, { force: true });
        },
        ...ofTheDriver,
        [Symbol.asyncDispose]: async () => rmSync(directory, { recursive: true }),
      };
    },
  });
});

function document(number: number): Change {
  return {
    key: documentKey(parseDocPath(`f/n${number}.json`)),
    version: { revision: 1, replica: 'a' },
    base: {},
    hash: sha256(`${number}`),
    instance: 'i',
    time: 1,
    state: 'present',
    content: { bytes: 600_000 },
  };
}
