// docbus copy between real brokers: from each kind of log into each other one, sealed and not, and a stream into a smaller one.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { documentKey, isDocbusError, parseDocPath, sha256, type Change } from '@docbus/core';
import { main } from '@docbus/cli/main.ts';
import { decodeRecord, dropParts, openLog, openLogWith, recordsOf } from '@docbus/log';
import type { Position } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { startRabbit, type RabbitServer } from '../servers/rabbitmq.ts';

const never = new AbortController().signal;
const secret = 'a-secret-a-secret-a-secret-a-secret';
const options = { replica: 'a', clock: systemClock };

describe('a copy between brokers', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-copies-'));
  const key = join(directory, 'key');
  let kafka: KafkaServer;
  let rabbit: RabbitServer;
  before(async () => {
    writeFileSync(key, secret);
    [kafka, rabbit] = await Promise.all([
      startKafka({ directory: join(directory, 'kafka'), version: '4.x' }),
      startRabbit({ directory: join(directory, 'rabbitmq') }),
    ]);
  });
  after(async () => {
    await Promise.all([kafka?.stop(), rabbit?.stop()]);
    rmSync(directory, { recursive: true });
  });

  /** Twelve documents, each in three versions, the last of which win; their payloads travel in two parts. */
  async function fill(url: string): Promise<void> {
    await using log = await openLog(url, options, never);
    for (let revision = 1; revision <= 3; revision++)
      for (let number = 0; number < 12; number++) {
        const change = document(number, revision);
        const drops = revision === 1 ? [] : dropParts(change.key, document(number, revision - 1).hash, 2);
        await log.append([...drops, ...recordsOf(change, Buffer.alloc(600_000, `${number} ${revision} `))], never);
      }
  }

  async function holds(url: string, secrets: readonly string[]) {
    await using log = await openLogWith(secrets, url, options, never);
    const revisions = new Map<string, number>();
    const parts = new Map<string, number>();
    let records = 0;
    for (let position: Position | undefined; ;) {
      const batch = await log.read(position, { recordsMax: 1000, bytesMax: 8 << 20 }, never);
      if (batch.length === 0) return { revisions, records };
      position = batch.at(-1)?.position;
      records += batch.length;
      for (const record of batch) {
        const decoded = decodeRecord(record);
        if (decoded.type === 'part') parts.set(decoded.hash, (parts.get(decoded.hash) ?? 0) + 1);
        if (decoded.type === 'change' && parts.get(decoded.change.hash) === 2)
          revisions.set(decoded.change.key, decoded.change.version.revision);
      }
    }
  }

  const copy = async (...args: string[]): Promise<string> => {
    const lines: string[] = [];
    assert.equal(
      (await main(['copy', ...args], { environment: {}, print: (text) => lines.push(text), signal: never })) ?? 0,
      0,
      lines.join('\n'),
    );
    return lines.join('\n');
  };

  test('goes from each kind of log into each other one, sealed on the way, and twice does nothing', async () => {
    const stream = `${rabbit.url}?stream=first`;
    await fill(stream);
    const hops: readonly { readonly url: string; readonly sealed: boolean }[] = [
      { url: stream, sealed: false },
      { url: `kafka://${kafka.address}/copied?partitions=3`, sealed: true },
      { url: `sqlite:${join(directory, 'copied.db')}`, sealed: false },
      { url: `${rabbit.url}?stream=sealed`, sealed: true },
      { url: `kafka://${kafka.address}/again`, sealed: false },
    ];
    for (let i = 1; i < hops.length; i++) {
      const [from, to] = hops.slice(i - 1) as [(typeof hops)[0], (typeof hops)[0]];
      const args = [
        '--from',
        from.url,
        '--to',
        to.url,
        ...(from.sealed ? ['--from-secret-file', key] : []),
        ...(to.sealed ? ['--to-secret-file', key] : []),
      ];
      assert.match(await copy(...args), /^Copied 12 changes \(36 records, .*; 0 were in /m);
      const { revisions, records } = await holds(to.url, to.sealed ? [secret] : []);
      assert.deepEqual([...revisions.values()], Array(12).fill(3));
      assert.equal(records, 36);
      assert.match(await copy(...args), /^Copied 0 changes .*; 12 were in /m);
      assert.equal((await holds(to.url, to.sealed ? [secret] : [])).records, 36);
    }
  });

  test('leaves behind what was superseded: that is how a stream becomes smaller', async () => {
    const stream = `${rabbit.url}?stream=long`;
    await fill(stream);
    const long = await holds(stream, []);
    await copy('--from', stream, '--to', `${rabbit.url}?stream=short`);
    const short = await holds(`${rabbit.url}?stream=short`, []);
    assert.deepEqual(short.revisions, long.revisions);
    assert.ok(short.records * 2 < long.records, `${long.records} records became ${short.records}`);
  });

  test('from a log that does not exist is refused, and does not make it', async () => {
    for (const from of [`kafka://${kafka.address}/missing`, `${rabbit.url}?stream=missing`])
      for (let attempt = 0; attempt < 2; attempt++)
        await assert.rejects(copy('--from', from, '--to', `sqlite:${join(directory, 'none.db')}`), (error) =>
          isDocbusError(error, 'log_refused'),
        );
  });
});

function document(number: number, revision: number): Change {
  return {
    key: documentKey(parseDocPath(`f/n${number}.json`)),
    version: { revision, replica: 'a' },
    base: {},
    hash: sha256(`${number} ${revision}`),
    instance: 'i',
    time: 1,
    state: 'present',
    content: { bytes: 600_000 },
  };
}
