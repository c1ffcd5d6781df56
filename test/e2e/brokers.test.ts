// The end to end of a whole installation on real brokers: days of operations, a replica destroyed and rebuilt, a log that was deleted and
// is refilled, a log that retention cut off. The tests of one broker share a cluster and go on from each other's state.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connect } from 'amqplib';
import { openKafkaAdmin } from '../log/kafka-admin.ts';
import { startKafka } from '../servers/kafka.ts';
import { runKafkaTool } from '../servers/kafka-tools.ts';
import { waitFor } from '../servers/process.ts';
import { startRabbit } from '../servers/rabbitmq.ts';
import { startCluster, type Cluster } from './cluster.ts';
import { beginDays, untilPublished, type Days } from './day.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

/** One log on a real broker, and what an operator does to it. */
type BrokerLog = AsyncDisposable & {
  readonly url: string;
  remove(): Promise<void>;
  /** Cuts off what was appended before now, as retention would. `churn` appends about 10 MB that nobody needs any more. */
  truncate(churn: () => Promise<void>): Promise<void>;
};

const WAIT = { deadlineMs: 60_000, everyMs: 200 };
const PATIENT = { deadlineMs: 90_000 };

async function openKafkaTopic(directory: string): Promise<BrokerLog & { readonly address: string; readonly topic: string }> {
  const server = await startKafka({ directory: join(directory, 'kafka') });
  const { address } = server;
  const topic = `docbus-${randomUUID()}`;
  return {
    address,
    topic,
    url: `kafka://${address}/${topic}?check=false`,
    remove: async () => {
      await using admin = await openKafkaAdmin(address);
      await admin.remove(topic);
    },
    truncate: async () => {
      await using admin = await openKafkaAdmin(address);
      await admin.configure(topic, { 'cleanup.policy': 'compact,delete', 'retention.ms': '-1' });
      await admin.truncate(topic, -1); // up to the end
    },
    [Symbol.asyncDispose]: async () => await server.stop(),
  };
}

async function openRabbitStream(directory: string): Promise<BrokerLog> {
  const server = await startRabbit({ directory: join(directory, 'rabbitmq') });
  const stream = `docbus-${randomUUID()}`;
  const remove = async (): Promise<void> => {
    const connection = await connect(server.url);
    await (await connection.createChannel()).deleteQueue(stream);
    await connection.close();
  };
  return {
    // Small, so that its retention can be waited for.
    url: `${server.url}?stream=${stream}&max-bytes=${3 << 20}&segment-bytes=${1 << 20}`,
    remove,
    truncate: async (churn) => await churn(),
    [Symbol.asyncDispose]: async () => {
      await remove().catch(() => undefined); // a broker of somebody else's gets its stream back; ours ends with everything
      await server.stop();
    },
  };
}

for (const [broker, open] of [
  ['Kafka', openKafkaTopic],
  ['RabbitMQ', openRabbitStream],
] as const)
  suite(`three replicas on ${broker}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'docbus-brokers-'));
    let log: BrokerLog;
    let cluster: Cluster;
    let a: E2eReplica;
    let b: E2eReplica;
    let c: E2eReplica;
    let days: Days;

    before(async () => {
      log = await open(directory);
      cluster = await startCluster({ log: log.url });
      [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
    });
    after(async () => {
      await cluster?.[Symbol.asyncDispose]();
      await log?.[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true, force: true });
    });

    test('two days of operations on one of them are lived by all', async () => {
      days = await beginDays(a);
      for (let day = 1; day <= 2; day++) {
        const end = await cluster.logEnd();
        await untilPublished(cluster, end, await days.live());
      }
      await cluster.converged({ ...PATIENT, when: ({ present }) => present.workspace === 2 && present.membership === 4 });
      const member = [...(await b.app.inspect()).memberships.keys()].find((key) => key.startsWith('commons/')) ?? '';
      await b.app.pin('commons', member.slice('commons/'.length));
      await waitFor(
        'the pin on the first replica',
        async () => (await a.app.inspect()).memberships.get(member)?.[0]?.pinned === true,
        WAIT,
      );
      await cluster.converged(PATIENT);
      assert.equal(b.embedder.calls.requests + c.embedder.calls.requests, 0);
    });

    test('a replica that was destroyed with everything it had is rebuilt from the log, without embedding', async () => {
      await b.killAgent();
      await b.destroy();
      await b.startAgent();
      await cluster.converged({ ...PATIENT, when: ({ present }) => present.membership === 4 });
      assert.equal(b.embedder.calls.requests, 0);
      assert.ok((await b.app.query('commons', 'the news of day 2', 3)).length > 0);
    });

    if (broker === 'Kafka') {
      test("Kafka's own tools show that no replica lags, and print events that a person can read", async () => {
        const { address, topic } = log as Awaited<ReturnType<typeof openKafkaTopic>>;
        const groups = await runKafkaTool('kafka-consumer-groups', ['--bootstrap-server', address, '--describe', '--all-groups']);
        const lags = groups
          .split('\n')
          .map((line) => line.trim().split(/\s+/))
          .filter(([group, of]) => group?.startsWith(`docbus.${topic}.`) === true && of === topic)
          .map(([group, , , , , lag]) => [group?.slice(`docbus.${topic}.`.length), lag] as const);
        assert.deepEqual(new Map(lags), new Map(cluster.replicas.map(({ name }) => [name, '0'])), groups);

        const printed = await runKafkaTool(
          'kafka-console-consumer',
          `--bootstrap-server ${address} --topic ${topic} --from-beginning --timeout-ms 4000 --property print.key=true`.split(' '),
        );
        const events = printed.split('\n').flatMap((line) => {
          const [key, text] = line.split('\t');
          return text?.startsWith('{') === true ? [{ key, event: JSON.parse(text) as Record<string, unknown> }] : [];
        });
        const commons = events.findLast(({ key }) => key === 'workspace/commons')?.event;
        assert.equal(commons?.['specversion'], '1.0');
        assert.equal(commons?.['type'], 'docbus.workspace.put.v1');
        assert.equal(commons?.['subject'], 'workspace/commons');
        assert.match(JSON.stringify(commons), /Commons on day 2/);
      });
    }

    test('a log that was deleted is made anew and refilled by the replicas, until another one can be rebuilt from it', async () => {
      await c.killAgent();
      await c.destroy();
      await log.remove();
      // Until somebody notices nothing is read; what is edited meanwhile must be in the new log too.
      const path = await a.app.addRawText({ title: 'After the fire', text: textAbout('the fire', 10) });
      await a.app.embed('commons', path);
      await waitFor('both agents to begin with the new log', () => [a, b].every((one) => one.agent.text().includes('log_recreated')), WAIT);
      await c.startAgent();
      await cluster.converged({ ...PATIENT, when: ({ present }) => present.membership === 5 && present.workspace === 2 });
      assert.equal(c.embedder.calls.requests, 0);
    });

    test('an agent whose checkpoint was cut off with the beginning of the log starts over and goes on with the others', async () => {
      await c.stopAgent();
      await a.app.updateWorkspace('commons', { openAiPrompt: 'Answer in verse.' });
      await cluster.converged({ ...PATIENT, among: [a, b] });
      await log.truncate(async () => {
        // Too large to be packed, and gone again: of what is cut off nothing is missed.
        const gone: string[] = [];
        for (let i = 0; i < 6; i++)
          gone.push(await a.app.addRawText({ title: `Picture ${i}`, text: randomBytes(700_000).toString('base64') }));
        await waitFor('the pictures to be published', async () => (await b.status()).present.document === 4 + 6, WAIT);
        for (const path of gone) await a.app.removeDocument(path);
      });
      await a.app.updateWorkspace('commons', { openAiPrompt: 'Answer in prose.' });
      await cluster.converged({ ...PATIENT, among: [a, b], when: ({ present }) => present.document === 4 });
      await c.startAgent();
      await waitFor('the agent to start over', () => c.agent.text().includes('position_expired'), WAIT);
      await cluster.converged({ ...PATIENT, when: ({ present }) => present.document === 4 });
      assert.equal((await c.app.inspect()).workspaces.get('commons')?.openAiPrompt, 'Answer in prose.');
    });
  });
