// A broker that loses power has lost what it had not flushed, though it had acknowledged it; what is appended next gets the same numbers.
// Nothing of it may be lost: the replicas that had read it put it back.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startCluster } from '../e2e/cluster.ts';
import type { E2eReplica } from '../e2e/replica.ts';
import { textAbout } from '../e2e/texts.ts';
import { kafkaEnd, loseKafkaTail, loseRabbitTail, rabbitEnd, type LostTail } from '../log/lose-tail.ts';
import { startKafka } from '../servers/kafka.ts';
import { startRabbit } from '../servers/rabbitmq.ts';

type Broker = {
  readonly url: string;
  end(): number;
  /** Kills the broker, takes away all records from a number on, and starts it again. */
  loseFrom(number: number): Promise<LostTail>;
};

const PATIENT = { deadlineMs: 90_000 };

async function openKafka(t: TestContext, directory: string): Promise<Broker> {
  const place = join(directory, 'kafka');
  const server = await startKafka({ directory: place, own: true });
  t.after(() => server.stop());
  return {
    url: `kafka://${server.address}/docbus?check=false`,
    end: () => kafkaEnd(place, 'docbus'),
    loseFrom: async (number) => {
      await server.kill('SIGKILL');
      const lost = loseKafkaTail(place, 'docbus', number);
      await server.restart();
      return lost;
    },
  };
}

async function openRabbit(t: TestContext, directory: string): Promise<Broker> {
  const place = join(directory, 'rabbitmq');
  const server = await startRabbit({ directory: place, own: true });
  t.after(() => server.stop());
  return {
    url: `${server.url}?stream=docbus`,
    end: () => rabbitEnd(place, 'docbus'),
    loseFrom: async (number) => {
      await server.kill('SIGKILL');
      const lost = loseRabbitTail(place, 'docbus', number);
      await server.restart();
      return lost;
    },
  };
}

for (const [name, open] of [
  ['Kafka', openKafka],
  ['RabbitMQ', openRabbit],
] as const)
  test(`what ${name} lost of its tail is put back: all replicas have everything, and one can be rebuilt from the log`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'docbus-tail-'));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const broker = await open(t, directory);
    await using cluster = await startCluster({ log: broker.url });
    const [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
    const add = async ({ app }: E2eReplica, title: string): Promise<void> => {
      const path = await app.addRawText({ title, text: textAbout(title, 10) });
      await app.embed('commons', path);
    };
    await a.app.createWorkspace('Commons');
    await add(a, 'before');
    await cluster.converged({ ...PATIENT, when: ({ present }) => present.membership === 1 });

    await c.stopAgent();
    const kept = broker.end();
    await add(a, 'lost one');
    await add(b, 'lost two');
    await cluster.converged({ ...PATIENT, among: [a, b], when: ({ present }) => present.membership === 3 });
    const end = broker.end();
    const lost = await broker.loseFrom(kept);
    assert.deepEqual(lost, { from: kept, to: end - 1 });
    assert.ok(end - kept >= 4, `${end - kept} records were lost`);
    // Others get the same numbers.
    await add(b, 'after');
    await c.startAgent();
    await cluster.converged({ ...PATIENT, when: ({ present }) => present.membership === 4 && present.embedding === 4 });
    for (const { name: replica, agent } of [a, b]) assert.match(agent.text(), /log_tail_lost/, `${replica} noticed`);

    await c.killAgent();
    await c.destroy();
    await c.startAgent();
    await cluster.converged({ ...PATIENT, when: ({ present }) => present.membership === 4 && present.embedding === 4 });
    assert.equal(c.embedder.calls.requests, 0);
  });
