import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Channel } from 'amqplib';
import { isDocbusError } from '@docbus/core';
import { logConformance } from '@docbus/log/conformance.ts';
import { openRabbitLog } from '@docbus/log/rabbitmq.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { environment } from '../servers/find.ts';
import { loseRabbitTail } from './lose-tail.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';

const never = new AbortController().signal;

describe('RabbitMQ', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-rabbitmq-'));
  const isOurs = environment('DOCBUS_TEST_AMQP') === undefined;
  let server: RabbitServer;
  before(async () => {
    server = await startRabbit({ directory: join(directory, 'rabbitmq') });
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  async function operate(work: (channel: Channel) => Promise<unknown>): Promise<void> {
    const connection = await connect(server.url);
    await work(await connection.createChannel());
    await connection.close();
  }
  const remove = async (stream: string): Promise<void> => await operate((channel) => channel.deleteQueue(stream));

  test('a stream that was deleted and declared again is another log, even if an old writer is the first to write into it', async () => {
    const stream = `docbus-${randomUUID()}`;
    const open = async (replica: string) =>
      await openRabbitLog({ url: `${server.url}?stream=${stream}`, replica, clock: systemClock }, never);
    await using writer = await open('writer');
    await using reader = await open('reader');
    await writer.append([{ key: 'old', value: Buffer.from('old'), headers: {} }], never);
    const [old] = await reader.read(undefined, { recordsMax: 1, bytesMax: 1000 }, never);
    const former = await reader.identity(never);
    await operate(async (channel) => {
      await channel.deleteQueue(stream);
      await channel.assertQueue(stream, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    });
    await writer.append([{ key: 'new', value: Buffer.from('new'), headers: {} }], never);
    await assert.rejects(reader.read(old?.position, { recordsMax: 1, bytesMax: 1000 }, never), (error) =>
      isDocbusError(error, 'log_recreated'),
    );
    await using late = await open('late');
    assert.notEqual(await late.identity(never), former);
    assert.equal(await reader.identity(never), await late.identity(never));
    assert.equal((await late.read(undefined, { recordsMax: 1, bytesMax: 1000 }, never))[0]?.key, 'new');
  });

  logConformance('a RabbitMQ stream', {
    compactsAtAppend: false,
    deadlineMs: 20_000,
    create: async () => {
      const stream = `docbus-${randomUUID()}`;
      const url = `${server.url}?stream=${stream}&max-bytes=${6 << 20}&segment-bytes=${2 << 20}`;
      const open = async (replica: string) => await openRabbitLog({ url, replica, clock: systemClock }, never);
      return {
        open,
        recreate: async () => await remove(stream),
        truncate: async () => {
          await using log = await open('filler');
          for (let i = 0; i < 16; i++) await log.append([{ key: `filler/${i}`, value: Buffer.alloc(990_000), headers: {} }], never);
        },
        loseTail: isOurs
          ? async (kept) => {
              await server.kill('SIGKILL');
              // The log's identity is its first record.
              assert.deepEqual(loseRabbitTail(join(directory, 'rabbitmq'), stream, kept + 1), { from: kept + 1, to: 8 });
              await server.restart();
            }
          : { cannot: 'the broker is somebody else’s' },
        [Symbol.asyncDispose]: async () => await remove(stream),
      };
    },
  });
});
