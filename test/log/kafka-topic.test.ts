// What belongs to Kafka alone: the topic's settings, compaction, partitions, and what Kafka's own tools show of us.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDocbusError } from '@docbus/core';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { partitionOf } from '@docbus/log/kafka-position.ts';
import type { Log, LogRecord, Position, ReadRecord } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { runKafkaTool, type KafkaTool } from '../servers/kafka-tools.ts';
import { waitFor } from '../servers/process.ts';
import { openKafkaAdmin, type KafkaAdmin } from './kafka-admin.ts';

const never = new AbortController().signal;
const limits = { recordsMax: 1000, bytesMax: 8 << 20 };
const record = (key: string, value: string | null = key): LogRecord => ({
  key,
  value: value === null ? null : Buffer.from(value),
  headers: {},
});

async function readAll(log: Log, from?: Position): Promise<readonly ReadRecord[]> {
  const all: ReadRecord[] = [];
  for (let position = from; ; position = all.at(-1)?.position) {
    const batch = await log.read(position, limits, never);
    if (batch.length === 0) return all;
    all.push(...batch);
  }
}

/** Repeats what may pass, as an agent does. */
async function persist<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isDocbusError(error, 'log_busy', 'log_unreachable') || attempt === 100) throw error;
    }
  }
}

describe('a Kafka topic', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-kafka-topic-'));
  let server: KafkaServer;
  let admin: KafkaAdmin;
  before(async () => {
    server = await startKafka({ directory: join(directory, 'kafka') });
    admin = await openKafkaAdmin(server.address);
  });
  after(async () => {
    await admin[Symbol.asyncDispose]();
    await server.stop();
    rmSync(directory, { recursive: true });
  });
  const newTopic = (): string => `docbus-${randomUUID()}`;
  const open = async (topic: string, settings = '', replica = 'a') =>
    await openKafkaLog({ url: `kafka://${server.address}/${topic}${settings}`, replica, clock: systemClock }, never);
  /** Runs the command that a message tells the operator to run. */
  const obey = async (message: string): Promise<void> => {
    const [, tool = '', args = ''] = /\b(kafka-[a-z]+)\.sh (.*?)(?: \(or |$)/.exec(message) ?? [];
    await runKafkaTool(tool as KafkaTool, args.trim().split(' '));
  };

  test('one that is missing is made, compacted, with room for our records', async () => {
    const topic = newTopic();
    await using log = await open(topic, '?partitions=3');
    await log.identity(never);
    const settings = await admin.settings(topic);
    assert.equal(settings['cleanup.policy'], 'compact');
    assert.ok(Number(settings['max.message.bytes']) > log.recordBytesMax);
    assert.equal(await admin.partitions(topic), 3);
  });

  test('every wrong setting is named, and the command in the message mends them all', async () => {
    const topic = newTopic();
    await admin.create(topic, {
      'cleanup.policy': 'delete',
      'max.message.bytes': '1000',
      'compression.type': 'lz4',
      'min.insync.replicas': '2',
    });
    await using log = await open(topic);
    const refusal = await log.append([record('a')], never).then(
      () => assert.fail('appended'),
      (error: Error) => error,
    );
    assert.ok(isDocbusError(refusal, 'log_refused'));
    for (const word of ['cleanup.policy=delete', 'max.message.bytes=1000', 'compression.type=lz4', 'min.insync.replicas=2'])
      assert.ok(refusal.message.includes(word), refusal.message);
    await obey(refusal.message);
    await log.append([record('a')], never);
    assert.equal((await readAll(log)).length, 1);
  });

  test('one that may not be made is asked for, and the command in the message makes it', async () => {
    const topic = newTopic();
    await using log = await open(topic, '?create=false');
    const refusal = await log.identity(never).catch((error: Error) => error);
    assert.ok(isDocbusError(refusal, 'log_refused') && refusal.message.includes(topic));
    await obey(refusal.message);
    await log.append([record('a')], never);
  });

  test('the console consumer reads keys and values, and kafka-consumer-groups shows each replica’s true lag', async () => {
    const topic = newTopic();
    await using one = await open(topic, '', 'one');
    await using two = await open(topic, '', 'two');
    await one.append(
      [record('document/f/a.json', 'first'), record('document/f/b.json', 'second'), record('document/f/c.json', 'third')],
      never,
    );
    const read = await readAll(one);
    await one.report(read[2]?.position as Position, never);
    await two.report(read[0]?.position as Position, never);
    const bootstrap = ['--bootstrap-server', server.address];
    const shown = await runKafkaTool('kafka-console-consumer', [
      ...bootstrap,
      '--topic',
      topic,
      '--from-beginning',
      '--max-messages',
      '3',
      '--property',
      'print.key=true',
    ]);
    assert.match(shown, /document\/f\/a\.json\s+first\ndocument\/f\/b\.json\s+second\ndocument\/f\/c\.json\s+third\n/);
    const groups = await runKafkaTool('kafka-consumer-groups', [...bootstrap, '--describe', '--all-groups']);
    const lag = (replica: string) =>
      new RegExp(`docbus\\.${topic}\\.${replica}\\s+${topic}\\s+0\\s+(\\d+)\\s+(\\d+)\\s+(\\d+)`).exec(groups)?.slice(1);
    assert.deepEqual(lag('one'), ['3', '3', '0']);
    assert.deepEqual(lag('two'), ['1', '3', '2']);
  });

  test('compaction keeps the newest of each key; positions in its holes still serve, and the end is still found', async () => {
    const topic = newTopic();
    await admin.create(topic, {
      'cleanup.policy': 'compact',
      'segment.ms': '100',
      'min.cleanable.dirty.ratio': '0.01',
      'delete.retention.ms': '0',
    });
    await using log = await open(topic);
    for (let i = 0; i < 30; i++)
      await log.append([record('same', `v${i}`), record(`part/${i}`, 'p'), ...(i > 0 ? [record(`part/${i - 1}`, null)] : [])], never);
    const all = await readAll(log);
    await waitFor(
      'compaction',
      async () => {
        await log.append([record('tick')], never); // only closed segments are compacted
        await using fresh = await open(topic);
        return (await readAll(fresh)).length < 20;
      },
      { deadlineMs: 60_000, everyMs: 200 },
    );
    await using fresh = await open(topic, '', 'b');
    const left = await readAll(fresh);
    const newest = new Map(left.map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString()]));
    assert.equal(newest.get('same'), 'v29');
    assert.equal(newest.get('part/29'), 'p');
    for (const { position } of all.filter((_, i) => i % 10 === 0)) {
      const end = await fresh.end(position, never); // before reading: compaction goes on
      const rest = await readAll(fresh, position);
      assert.equal(rest.findLast(({ key }) => key === 'same')?.value?.toString() ?? 'v29', 'v29');
      assert.equal(rest.at(-1)?.position, left.at(-1)?.position);
      assert.ok(end.records >= rest.length);
    }
    assert.deepEqual(await fresh.end(left.at(-1)?.position, never), { records: 0, oldestTime: undefined });
  });

  test('one that was deleted and made again under its name is another log, however much is in it by now', async () => {
    const topic = newTopic();
    await using writer = await open(topic, '', 'writer');
    await using reader = await open(topic, '', 'reader');
    await writer.append([record('old1'), record('old2')], never);
    const [, old] = await readAll(reader);
    const former = await reader.identity(never);
    await admin.remove(topic);
    await waitFor(
      'the topic to be gone and made again',
      async () => await admin.create(topic, { 'cleanup.policy': 'compact' }).then(() => true),
      {
        deadlineMs: 30_000,
      },
    );
    await persist(
      async () =>
        await writer.append(
          Array.from({ length: 10 }, (_, i) => record(`new${i}`)),
          never,
        ),
    );
    await assert.rejects(
      persist(async () => await reader.read(old?.position, limits, never)),
      (error) => isDocbusError(error, 'log_recreated'),
    );
    assert.notEqual(await reader.identity(never), former);
    assert.equal((await readAll(reader)).length, 10);
  });

  describe('with several partitions', () => {
    const documents = Array.from({ length: 20 }, (_, i) => `folder/${i}.json`);
    const about = (path: string): string[] => [
      `part/document/${path}/${'0'.repeat(64)}/0`,
      `document/${path}`,
      `embedding/${path}`,
      `membership/w/${path}`,
    ];

    test('all about one document is in one partition, in its order, and the documents are spread', async () => {
      const topic = newTopic();
      await using log = await open(topic, '?partitions=4');
      await log.append(
        documents.flatMap(about).map((key) => record(key)),
        never,
      );
      for (const path of documents) assert.equal(new Set(about(path).map((key) => partitionOf(key, 4))).size, 1);
      assert.equal(new Set(documents.map((path) => partitionOf(`document/${path}`, 4))).size, 4);
      const read = await readAll(log);
      for (const path of documents)
        assert.deepEqual(
          read.map(({ key }) => key).filter((key) => key.endsWith(path) || key.includes(`${path}/`)),
          about(path),
        );
    });

    test('reading goes on after any position, in small batches, and the end counts all partitions', async () => {
      const topic = newTopic();
      await using log = await open(topic, '?partitions=4');
      await log.append(
        documents.flatMap(about).map((key) => record(key)),
        never,
      );
      const all = await readAll(log);
      assert.equal(all.length, 80);
      assert.equal((await log.end(undefined, never)).records, 80);
      await using other = await open(topic, '', 'b');
      for (const at of [0, 17, 40, 78]) {
        const position = all[at]?.position;
        const rest: ReadRecord[] = [];
        for (let next = position; rest.length < 79 - at; next = rest.at(-1)?.position) {
          const batch = await other.read(next, { recordsMax: 7, bytesMax: 1 << 20 }, never);
          assert.ok(batch.length > 0 && batch.length <= 7);
          rest.push(...batch);
        }
        assert.deepEqual(
          rest.map(({ key }) => key).toSorted(),
          all
            .slice(at + 1)
            .map(({ key }) => key)
            .toSorted(),
        );
        assert.equal((await other.end(position, never)).records, 79 - at);
      }
      assert.deepEqual(await other.read(all.at(-1)?.position, limits, never), []);
    });

    test('partitions that are added later are read too', async () => {
      const topic = newTopic();
      await using old = await open(topic);
      await old.append([record('document/f/old.json')], never);
      const [first] = await readAll(old);
      await admin.addPartitions(topic, 4);
      await using log = await open(topic, '', 'b');
      await log.append(
        documents.map((path) => record(`document/${path}`)),
        never,
      );
      assert.equal((await readAll(log, first?.position)).length, 20);
    });

    test('a hint comes for every partition', async (t) => {
      const topic = newTopic();
      await using log = await open(topic, '?partitions=4');
      const stop = new AbortController();
      t.after(() => stop.abort());
      const hints = log.hints(stop.signal)[Symbol.asyncIterator]();
      let position: Position | undefined;
      for (const path of documents.slice(0, 8)) {
        await log.append([record(`document/${path}`)], never);
        const started = performance.now();
        for (let found: readonly ReadRecord[] = []; found.length === 0; position = found.at(-1)?.position ?? position) {
          await hints.next();
          found = await log.read(position, limits, never);
        }
        assert.ok(performance.now() - started < 4_000, 'the hint came with the record, not with the clock');
      }
    });
  });

  test('where the topic’s limit is lowered, batches become smaller, and a record that is too large itself is refused by name', async () => {
    const topic = newTopic();
    await using log = await open(topic, '?check=false');
    await log.append([record('before')], never);
    await admin.configure(topic, { 'cleanup.policy': 'compact', 'max.message.bytes': '60000' });
    const many = Array.from({ length: 40 }, (_, i) => record(`k${i}`, 'x'.repeat(20_000)));
    await waitFor(
      'the new limit',
      async () =>
        await log.append([record('large', 'x'.repeat(80_000))], never).then(
          () => false,
          (error: unknown) => isDocbusError(error, 'record_too_large'),
        ),
      { deadlineMs: 10_000 },
    );
    await log.append(many, never);
    const read = await readAll(log);
    assert.deepEqual(
      read.slice(-40).map(({ key }) => key),
      many.map(({ key }) => key),
    );
  });
});
