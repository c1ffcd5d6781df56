// What an operator does to a topic from outside, with kafkajs' own admin client.
import { setTimeout as sleep } from 'node:timers/promises';
import { isDocbusError } from '@docbus/core';
import { openKafkaLog } from '@docbus/log/kafka.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { Kafka, logLevel } from 'kafkajs';

export type KafkaAdmin = AsyncDisposable & {
  create(topic: string, settings?: Readonly<Record<string, string>>, partitions?: number): Promise<void>;
  /** Resolves when the broker takes nothing for it any more. */
  remove(topic: string): Promise<void>;
  configure(topic: string, settings: Readonly<Record<string, string>>): Promise<void>;
  /** Cuts off all records of partition 0 below `offset`, as retention would. The topic's cleanup.policy must include delete. */
  truncate(topic: string, offset: number): Promise<void>;
  settings(topic: string): Promise<Readonly<Record<string, string>>>;
  partitions(topic: string): Promise<number>;
  addPartitions(topic: string, count: number): Promise<void>;
};

const TOPIC = 2;
const TRUNCATE_ATTEMPTS = 50;

export async function openKafkaAdmin(address: string): Promise<KafkaAdmin> {
  const admin = new Kafka({
    brokers: [address],
    clientId: 'docbus-test-admin',
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50 },
  }).admin();
  await admin.connect();
  const entries = (settings: Readonly<Record<string, string>>) => Object.entries(settings).map(([name, value]) => ({ name, value }));
  return {
    create: async (topic, settings = {}, partitions = 1) =>
      void (await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries: entries(settings) }] })),
    async remove(topic) {
      const former = await topicId(address, topic);
      await admin.deleteTopics({ topics: [topic] });
      // The controller answers before the broker follows: what is appended in between is acknowledged, and goes with the old topic.
      while (former !== undefined && (await topicId(address, topic)) === former) await sleep(20);
    },
    configure: async (topic, settings) =>
      void (await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC, name: topic, configEntries: entries(settings) }] })),
    async truncate(topic, offset) {
      // The broker refuses it until the cleanup.policy that was just set has come to its log.
      for (let attempt = 1; ; attempt++)
        try {
          return await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: String(offset) }] });
        } catch (error) {
          if (attempt === TRUNCATE_ATTEMPTS) throw error;
          await sleep(100);
        }
    },
    settings: async (topic) => {
      const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC, name: topic }] });
      return Object.fromEntries((resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]));
    },
    partitions: async (topic) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions.length ?? 0,
    addPartitions: async (topic, count) => void (await admin.createPartitions({ topicPartitions: [{ topic, count }] })),
    [Symbol.asyncDispose]: async () => await admin.disconnect(),
  };
}

/** undefined where there is none: another topic of that name has another id. */
async function topicId(address: string, topic: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(30_000);
  const url = `kafka://${address}/${topic}?create=false&check=false`;
  try {
    await using log = await openKafkaLog({ url, replica: 'admin', clock: systemClock }, signal);
    return await log.identity(signal);
  } catch (error) {
    if (isDocbusError(error, 'log_refused', 'log_busy')) return undefined;
    throw error;
  }
}
