import { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logConformance } from '@docbus/log/conformance.ts';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startKafka, type KafkaServer } from '../servers/kafka.ts';
import type { KafkaLine } from '../servers/kafka-find.ts';
import { openKafkaAdmin } from './kafka-admin.ts';
import { loseKafkaTail } from './lose-tail.ts';

const never = new AbortController().signal;

function conformance(version: KafkaLine, partitions: number): void {
  describe(`Kafka ${version}, partitions: ${partitions}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'docbus-kafka-'));
    let server: KafkaServer;
    before(async () => {
      server = await startKafka({ directory: join(directory, 'kafka'), version });
    });
    after(async () => {
      await server.stop();
      rmSync(directory, { recursive: true });
    });
    logConformance(`Kafka ${version}, partitions: ${partitions}`, {
      compactsAtAppend: false,
      deadlineMs: 20_000,
      create: async () => {
        const topic = `docbus-${randomUUID()}`;
        const url = `kafka://${server.address}/${topic}?partitions=${partitions}&check=false`;
        return {
          open: async (replica) => await openKafkaLog({ url, replica, clock: systemClock }, never),
          recreate: async () => {
            await using admin = await openKafkaAdmin(server.address);
            await admin.remove(topic);
          },
          truncate:
            partitions > 1
              ? { cannot: 'the suite looks at one place only; with one partition it is tested' }
              : async () => {
                  await using admin = await openKafkaAdmin(server.address);
                  await admin.configure(topic, { 'cleanup.policy': 'compact,delete', 'retention.ms': '-1' });
                  await admin.truncate(topic, 5);
                },
          loseTail:
            server.version === 'external'
              ? { cannot: 'the broker is somebody else’s' }
              : async (kept) => {
                  await server.kill('SIGKILL');
                  assert.deepEqual(loseKafkaTail(join(directory, 'kafka'), topic, kept), { from: kept, to: 7 });
                  await server.restart();
                },
          [Symbol.asyncDispose]: async () => {},
        };
      },
    });
  });
}

conformance('4.x', 1);
conformance('3.9', 1);
