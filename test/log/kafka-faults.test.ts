import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { startProxy, type TcpProxy } from '../servers/proxy.ts';
import { brokerFaults } from './broker-faults.ts';

const never = new AbortController().signal;
const record = (key: string, value = key) => ({ key, value: Buffer.from(value), headers: {} });

describe('Kafka behind a proxy', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-kafka-faults-'));
  let server: KafkaServer;
  let proxy: TcpProxy;
  const warnings: Error[] = [];
  const warn = (warning: Error): void => void warnings.push(warning);
  before(async () => {
    process.on('warning', warn);
    proxy = await startProxy({ target: () => Number(server.address.split(':')[1]) });
    const properties = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}` };
    server = await startKafka({ directory: join(directory, 'kafka'), own: true, properties });
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await server.stop();
    rmSync(directory, { recursive: true });
    process.off('warning', warn);
    assert.deepEqual(
      warnings.map(({ name }) => name).filter((name) => name !== 'ExperimentalWarning'),
      [],
    );
  });
  const url = (topic: string): string => `kafka://127.0.0.1:${proxy.port}/${topic}`;

  brokerFaults('Kafka', () => ({
    server,
    proxy,
    open: async (topic, replica, clock) => await openKafkaLog({ url: url(topic), replica, clock }, never),
  }));

  test('an answer that is lost: the append is repeated under its number, and the record is there once', async () => {
    await using log = await openKafkaLog({ url: url(`once-${randomUUID()}`), replica: 'a', clock: systemClock }, never);
    await log.append([record('before')], never);
    let swallowed = 0;
    proxy.onAnswer(() => (swallowed += 1) <= 1);
    await log.append([record('once')], never);
    proxy.onAnswer(undefined);
    assert.ok(swallowed > 1, 'the first answer was swallowed, and there was another');
    await log.append([record('after')], never);
    const read = await log.read(undefined, { recordsMax: 10, bytesMax: 1 << 20 }, never);
    assert.deepEqual(
      read.map(({ key }) => key),
      ['before', 'once', 'after'],
    );
  });

  // Kafka takes a batch with the number and length of one it has for a repetition, and drops it with a friendly answer.
  test('an append that failed, though it had happened, does not swallow the one that comes after it', async () => {
    await using log = await openKafkaLog({ url: url(`swallow-${randomUUID()}`), replica: 'a', clock: systemClock }, never);
    await log.append([record('before')], never);
    proxy.onAnswer(() => true);
    await assert.rejects(log.append([record('first')], never));
    proxy.onAnswer(undefined);
    await log.append([record('second')], never);
    const read = await log.read(undefined, { recordsMax: 10, bytesMax: 1 << 20 }, never);
    assert.equal(read.at(-1)?.key, 'second');
  });
});
