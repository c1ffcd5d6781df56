// The published contract against what agents really append: on Kafka, which keeps every record of the run, in several partitions.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { main } from '@docbus/cli/main.ts';
import { openLog, type LogRecord } from '@docbus/log';
import { createContractValidator } from '@docbus/log/contract/validator-for-tests.ts';
import { changeSchemas } from '@docbus/log/schema.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const never = new AbortController().signal;

suite('every record that agents append on Kafka', () => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-contract-'));
  const validate = createContractValidator();
  let kafka: KafkaServer;
  let cluster: Cluster;
  let records: readonly LogRecord[];

  before(async () => {
    kafka = await startKafka({ directory: join(directory, 'kafka'), version: '4.x' });
    cluster = await startCluster({ replicas: 2, log: `kafka://${kafka.address}/docbus?partitions=3` });
    const [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
    await live(cluster, a, b);
    records = await cluster.recordsAfter(undefined);
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
    await kafka?.stop();
    rmSync(directory, { recursive: true });
  });

  test('is what the contract says, and the run had all of them', () => {
    const verdicts = records.map((record) => ({ key: record.key, ...validate(record) }));
    assert.deepEqual(
      verdicts.filter(({ problems }) => problems.length > 0),
      [],
    );
    assert.deepEqual(
      [...new Set(verdicts.map(({ message }) => message))].toSorted(),
      [...Object.keys(changeSchemas), 'drop', 'part'].toSorted(),
    );
  });

  test('is a sealed record of the contract once it is copied into a sealed log', async () => {
    const key = join(directory, 'key');
    const backup = `sqlite:${join(directory, 'backup.db')}`;
    writeFileSync(key, 'a-secret-a-secret-a-secret-a-secret');
    const args = ['copy', '--from', cluster.log, '--to', backup, '--to-secret-file', key];
    assert.equal((await main(args, { environment: {}, print: () => {}, signal: never })) ?? 0, 0);
    await using log = await openLog(backup, { replica: 'test', clock: systemClock }, never);
    const sealed = await log.read(undefined, { recordsMax: 100_000, bytesMax: 1 << 30 }, never);
    assert.ok(sealed.length > 5);
    for (const record of sealed) assert.deepEqual(validate(record), { message: 'sealed', problems: [] });
  });
});

/** Something of every kind, put and deleted; texts so long that their payloads travel in parts, of which one goes. */
async function live(cluster: Cluster, a: E2eReplica, b: E2eReplica): Promise<void> {
  const many = (topic: string): string => Array.from({ length: 60 }, (_, i) => textAbout(`${topic} ${i}`, 40)).join('\n');
  const slug = await a.app.createWorkspace('Island');
  const other = await a.app.createWorkspace('Harbour');
  const long = await a.app.addRawText({ title: 'Handbook', text: many('the handbook') });
  const short = await a.app.addRawText({ title: 'Ferry', text: textAbout('the ferry', 5) });
  const kept = await a.app.addRawText({ title: 'Map', text: many('the map') });
  await a.app.embed(slug, long, short, kept);
  await a.app.embed(other, short);
  await cluster.converged({ when: ({ present }) => present.membership === 4 });
  await b.app.pin(slug, short);
  await b.app.updateWorkspace(slug, { name: 'The Island', openAiPrompt: 'Answer in verse. 🌊', similarityThreshold: 0.5 });
  await cluster.converged({ when: ({ present }) => present.workspace === 2 });
  await b.app.unembed(slug, short);
  await a.app.deleteWorkspace(other);
  await a.app.removeDocument(short);
  await a.app.removeDocument(long);
  await cluster.converged({ when: ({ present }) => present.document === 1 && present.workspace === 1 && present.membership === 1 });
}
