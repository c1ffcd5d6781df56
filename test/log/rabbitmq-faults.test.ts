import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDocbusError } from '@docbus/core';
import { openRabbitLog } from '@docbus/log/rabbitmq.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { waitFor } from '../servers/process.ts';
import { startProxy, type TcpProxy } from '../servers/proxy.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';
import { brokerFaults } from './broker-faults.ts';

const never = new AbortController().signal;
const record = (key: string, value = key) => ({ key, value: Buffer.from(value), headers: {} });

describe('RabbitMQ behind a proxy', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-rabbitmq-faults-'));
  let server: RabbitServer;
  let proxy: TcpProxy;
  before(async () => {
    server = await startRabbit({ directory: join(directory, 'rabbitmq'), own: true });
    proxy = await startProxy({ target: () => server.port });
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const url = (stream: string): string => `amqp://guest:guest@127.0.0.1:${proxy.port}/?stream=${stream}`;

  brokerFaults('RabbitMQ', () => ({
    server,
    proxy,
    open: async (stream, replica, clock) => await openRabbitLog({ url: url(stream), replica, clock }, never),
  }));

  test('an answer that is lost: the append is rejected, and its record is there or is not', async () => {
    await using log = await openRabbitLog({ url: url(`lost-${randomUUID()}`), replica: 'a', clock: systemClock }, never);
    await log.append([record('before')], never);
    proxy.onAnswer(() => true);
    await assert.rejects(log.append([record('lost')], never), (error) => isDocbusError(error, 'log_unreachable'));
    proxy.onAnswer(undefined);
    await log.append([record('after')], never);
    const keys = (await log.read(undefined, { recordsMax: 10, bytesMax: 1 << 20 }, never)).map(({ key }) => key);
    assert.deepEqual(
      keys.filter((key) => key !== 'lost'),
      ['before', 'after'],
    );
  });

  test('a broker that is short of disk takes nothing and is said to be so', async () => {
    await using log = await openRabbitLog(
      {
        url: url(`disk-${randomUUID()}`),
        replica: 'a',
        clock: { ...systemClock, now: () => systemClock.now() * 30, sleep: async (ms, signal) => await systemClock.sleep(ms / 30, signal) },
      },
      never,
    );
    await log.append([record('before')], never);
    await server.control(['set_disk_free_limit', '100000GB']);
    try {
      // The alarm is raised some time after the command.
      const isRefused = (error: unknown): boolean => isDocbusError(error, 'log_busy') && /disk|memory/i.test(error.message);
      const refused = async (): Promise<boolean> => await log.append([record('refused')], never).then(() => false, isRefused);
      await waitFor('the alarm', refused, { deadlineMs: 30_000 });
    } finally {
      await server.control(['set_disk_free_limit', '50MB']);
    }
    await log.append([record('after')], never);
    assert.equal((await log.read(undefined, { recordsMax: 10, bytesMax: 1 << 20 }, never)).at(-1)?.key, 'after');
  });
});
