// The topic behind a log: made with the settings that docbus needs where it is missing, else looked at, and each wrong setting named
// with the command that mends it.
import { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { recordBytesMaxDefault } from './bounds.ts';
import type { KafkaBroker, KafkaLink } from './kafka-client.ts';
import { errorOfCode, kafkaErrorType } from './kafka-errors.ts';
import { FETCH, FETCH_VERSION, METADATA, METADATA_VERSION, metadataCall, type TopicMetadata } from './kafka-protocol.ts';

export type KafkaTopicOptions = {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** for a topic that we create; -1 leaves it to the broker */
  readonly partitions: number;
  readonly replication: number;
  readonly mayCreate: boolean;
  /** false takes the topic as it is: a log that retention cuts, for instance */
  readonly check: boolean;
  readonly clock: Clock;
};

/** Room for framing in a batch of one record. */
const FRAMING_BYTES = 16_384;
const TOPIC_CREATE_MS = 15_000;
const TOPIC_RESOURCE = 2;

/**
 * What a new topic gets. Batches of 2 MiB hold three of our largest parts. The broker's own time, so that no replica's wrong clock shows
 * in lag. Segments of 256 MiB, because compaction never touches the one being written.
 */
const CREATED_WITH: Readonly<Record<string, string>> = {
  'cleanup.policy': 'compact',
  'max.message.bytes': String(2 << 20),
  'message.timestamp.type': 'LogAppendTime',
  'compression.type': 'producer',
  'segment.bytes': String(256 << 20),
};

export type KafkaTopic = TopicMetadata & {
  readonly name: string;
  /** the largest batch the topic takes */
  readonly batchBytesMax: number;
};

/** Resolves with the topic as it is now, or rejects with `log_refused` naming what is wrong. To be run inside `link.run`. */
export async function openKafkaTopic(link: KafkaLink, options: KafkaTopicOptions, signal: AbortSignal): Promise<KafkaTopic> {
  if (!(await isThere(link, options.topic))) await createTopic(link, options, signal);
  const broker = await anyBroker(link);
  checkVersion(broker, options);
  const metadata = await broker.connectionPool.send(metadataCall(options.topic));
  if (metadata.error !== 0) throw errorOfCode(metadata.error);
  const leaderless = metadata.partitions.find(({ leader }) => leader < 0);
  if (leaderless !== undefined)
    throw new DocbusError(
      'log_busy',
      `Partition ${leaderless.partition} of the Kafka topic ${options.topic} has no leader at the moment. Start the missing brokers.`,
    );
  const settings = await settingsOf(broker, options.topic);
  if (options.check && settings !== undefined) checkSettings(settings, metadata, options);
  return {
    ...metadata,
    name: options.topic,
    batchBytesMax: Number(settings?.get('max.message.bytes') ?? recordBytesMaxDefault + FRAMING_BYTES),
  };
}

async function isThere(link: KafkaLink, topic: string): Promise<boolean> {
  try {
    await link.cluster.addTargetTopic(topic);
    return true;
  } catch (error) {
    const type = kafkaErrorType(error);
    if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'LEADER_NOT_AVAILABLE') return false;
    throw error;
  }
}

async function createTopic(link: KafkaLink, options: KafkaTopicOptions, signal: AbortSignal): Promise<void> {
  const { topic, partitions, replication, mayCreate, brokers, clock } = options;
  if (!mayCreate)
    throw new DocbusError(
      'log_refused',
      `Kafka (${brokers.join(',')}) has no topic ${topic}, and it is not made where the log is only read or create=false is set. Make it: kafka-topics.sh --bootstrap-server ${brokers.join(',')} --create --topic ${topic} --config cleanup.policy=compact --config max.message.bytes=${CREATED_WITH['max.message.bytes']}`,
    );
  await link.cluster.refreshMetadata(); // without a topic, so that the brokers are known
  const controller = await link.cluster.findControllerBroker();
  const configEntries = Object.entries(CREATED_WITH).map(([name, value]) => ({ name, value }));
  try {
    await controller.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: replication, configEntries }],
      timeout: TOPIC_CREATE_MS,
    });
  } catch (error) {
    if (kafkaErrorType(error) !== 'TOPIC_ALREADY_EXISTS') throw error; // another replica was faster
  }
  // Until every broker knows it; the time limit is that of the run we are in.
  while (!link.isBroken() && !(await isThere(link, topic))) await clock.sleep(50, signal);
}

async function anyBroker(link: KafkaLink): Promise<KafkaBroker> {
  const [nodeId] = link.cluster.getNodeIds();
  if (nodeId === undefined) throw new DocbusError('log_busy', 'Kafka names no broker at the moment. Look whether the brokers are up.');
  return await link.cluster.findBroker({ nodeId });
}

function checkVersion({ versions }: KafkaBroker, { brokers }: KafkaTopicOptions): void {
  if ((versions[FETCH]?.maxVersion ?? 0) < FETCH_VERSION || (versions[METADATA]?.maxVersion ?? 0) < METADATA_VERSION)
    throw new DocbusError(
      'log_refused',
      `Kafka (${brokers.join(',')}) is older than 3.1, the first that names topics by id in every request. Upgrade it.`,
    );
}

/** undefined where we may not look. */
async function settingsOf(broker: KafkaBroker, topic: string): Promise<ReadonlyMap<string, string | null> | undefined> {
  const configNames = ['cleanup.policy', 'retention.ms', 'retention.bytes', 'max.message.bytes', 'compression.type', 'min.insync.replicas'];
  try {
    const { resources } = await broker.describeConfigs({ resources: [{ type: TOPIC_RESOURCE, name: topic, configNames }] });
    return new Map(resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  } catch (error) {
    if (kafkaErrorType(error) === 'TOPIC_AUTHORIZATION_FAILED') return undefined;
    throw error;
  }
}

/** Throws `log_refused` with every wrong setting and one command that mends them. */
function checkSettings(
  settings: ReadonlyMap<string, string | null>,
  { partitions }: TopicMetadata,
  { brokers, topic }: KafkaTopicOptions,
): void {
  const wrong: { readonly problem: string; readonly mend: string }[] = [];
  const cleanup = settings.get('cleanup.policy') ?? '';
  const keepsAll = settings.get('retention.ms') === '-1' && settings.get('retention.bytes') === '-1';
  if (cleanup.includes('delete') && !keepsAll)
    wrong.push({
      problem: `cleanup.policy=${cleanup} deletes documents from the log after retention.ms=${settings.get('retention.ms')}`,
      mend: 'cleanup.policy=compact',
    });
  const messageBytes = Number(settings.get('max.message.bytes'));
  if (messageBytes < recordBytesMaxDefault + FRAMING_BYTES)
    wrong.push({
      problem: `max.message.bytes=${messageBytes} is too small for records of ${recordBytesMaxDefault} bytes`,
      mend: `max.message.bytes=${CREATED_WITH['max.message.bytes']}`,
    });
  const compression = settings.get('compression.type') ?? '';
  if (compression === 'snappy' || compression === 'lz4')
    wrong.push({
      problem: `compression.type=${compression} cannot be read by docbus (and payloads are compressed already)`,
      mend: 'compression.type=producer',
    });
  const replicas = Math.min(...partitions.map((partition) => partition.replicas));
  const inSync = Number(settings.get('min.insync.replicas') ?? 1);
  if (inSync > replicas)
    wrong.push({
      problem: `min.insync.replicas=${inSync} can never be reached with ${replicas} replicas, so nothing can be appended`,
      mend: `min.insync.replicas=${replicas}`,
    });
  if (wrong.length === 0) return;
  const command = `kafka-configs.sh --bootstrap-server ${brokers.join(',')} --alter --entity-type topics --entity-name ${topic} --add-config ${wrong.map(({ mend }) => mend).join(',')}`;
  throw new DocbusError(
    'log_refused',
    `The Kafka topic ${topic} has settings that do not fit docbus: ${wrong.map(({ problem }) => problem).join('; ')}. Mend it: ${command} (or add check=false to the log's URL to take it as it is).`,
  );
}
