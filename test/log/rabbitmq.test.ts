import { after, before, describe } from 'node:test';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { logConformance } from '@docbus/log/conformance.ts';
import { openRabbitLog } from '@docbus/log/rabbitmq.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';

const never = new AbortController().signal;

describe('RabbitMQ', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-rabbitmq-'));
  let server: RabbitServer;
  before(async () => {
    server = await startRabbit({ directory: join(directory, 'rabbitmq') });
  });
  after(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  async function remove(stream: string): Promise<void> {
    const connection = await connect(server.url);
    await (await connection.createChannel()).deleteQueue(stream);
    await connection.close();
  }

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
        [Symbol.asyncDispose]: async () => await remove(stream),
      };
    },
  });
});
