// A link: connections to the brokers of one cluster, made by kafkajs and owned by us. kafkajs does SASL, TLS and the old part of the protocol;
// time limits, abort and the end of every socket are ours, because kafkajs waits for a frozen broker even to close.
// kafkajs 2.2.4 is the last of its line (February 2023), so its inner modules, which we use, stand still; package.json pins the version.
import { createRequire } from 'node:module';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { systemClock, type Clock } from '@docbus/runtime/clock.ts';
import type { KafkaCall } from './kafka-protocol.ts';
import { createRun, type Run } from './broker-link.ts';
import { kafkaError, type KafkaNames } from './kafka-errors.ts';

export type KafkaSasl = {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
};

export type KafkaLinkOptions = {
  /** `host:port` of any brokers of the cluster */
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly sasl?: KafkaSasl | undefined;
  readonly tls?: ConnectionOptions | undefined;
  readonly clock?: Clock;
  /** for messages */
  readonly topic?: string;
};

/** What we use of kafkajs' classes Cluster and Broker. */
export type KafkaCluster = {
  connect(): Promise<void>;
  refreshMetadata(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  getNodeIds(): string[];
  findBroker(node: { nodeId: string }): Promise<KafkaBroker>;
  findControllerBroker(): Promise<KafkaBroker>;
};
export type KafkaMessage = { readonly key: string; readonly value: Buffer | null; readonly headers: Readonly<Record<string, string>> };
export type KafkaBroker = {
  readonly nodeId: number | string;
  readonly versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>;
  readonly connectionPool: { send<T>(call: KafkaCall<T>): Promise<T> };
  initProducerId(request: { transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>;
  produce(request: {
    acks: number;
    timeout: number;
    producerId: string;
    producerEpoch: number;
    topicData: readonly {
      topic: string;
      partitions: readonly { partition: number; firstSequence: number; messages: readonly KafkaMessage[] }[];
    }[];
  }): Promise<unknown>;
  listOffsets(request: {
    isolationLevel: number;
    topics: readonly { topic: string; partitions: readonly { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: readonly { partitions: readonly { partition: number; offset: string }[] }[] }>;
  createTopics(request: {
    topics: readonly {
      topic: string;
      numPartitions: number;
      replicationFactor: number;
      configEntries: readonly { name: string; value: string }[];
    }[];
    timeout: number;
  }): Promise<unknown>;
  describeConfigs(request: { resources: readonly { type: number; name: string; configNames: readonly string[] }[] }): Promise<{
    resources: readonly { errorCode: number; configEntries: readonly { configName: string; configValue: string | null }[] }[];
  }>;
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<{ coordinator: { nodeId: number } }>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[];
  }): Promise<unknown>;
};

export type KafkaLink = AsyncDisposable & {
  readonly cluster: KafkaCluster;
  /** True after any failure: open another link instead, kafkajs' own recovery is not to be trusted. */
  isBroken(): boolean;
  /** Any failure breaks the link and ends its sockets. */
  readonly run: Run;
};

const CONNECT_MS = 10_000;

const require = createRequire(import.meta.url);
const Cluster = require('kafkajs/src/cluster') as new (options: Readonly<Record<string, unknown>>) => KafkaCluster;
const { createLogger, LEVELS } = require('kafkajs/src/loggers') as {
  LEVELS: { NOTHING: number };
  createLogger(options: { level: number; logCreator: () => () => void }): unknown;
};
const silence = createLogger({ level: LEVELS.NOTHING, logCreator: () => () => {} }); // what it would say is in the errors

// kafkajs sets a timer after every answer, also when nothing waits, and then for a time before 1970: Node 24 prints
// TimeoutNegativeWarning. Where something does wait, its sum is right.
type RequestQueueInside = { readonly pending: readonly unknown[]; scheduleCheckPendingRequests(): void };
const RequestQueue = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueueInside };
const schedule = RequestQueue.prototype.scheduleCheckPendingRequests;
RequestQueue.prototype.scheduleCheckPendingRequests = function (this: RequestQueueInside) {
  if (this.pending.length > 0) schedule.call(this);
};

/** Connects to the first broker that answers. */
export async function openKafkaLink(options: KafkaLinkOptions, signal: AbortSignal): Promise<KafkaLink> {
  const { brokers, clientId, sasl, tls, clock = systemClock, topic } = options;
  const names: KafkaNames = { brokers: brokers.join(','), topic, username: sasl?.username, clientId };
  const sockets = new Set<Socket>();
  let broken = false;
  const socketFactory = (target: { host: string; port: number; onConnect: () => void }): Socket => {
    const socket = openSocket(target, tls);
    sockets.add(socket.once('close', () => sockets.delete(socket)));
    if (broken) socket.destroy(new Error('The link was given up.'));
    return socket;
  };
  const cluster = new Cluster({
    logger: silence,
    socketFactory,
    brokers: [...brokers],
    ssl: tls,
    sasl: sasl === undefined ? undefined : { ...sasl },
    clientId,
    connectionTimeout: CONNECT_MS,
    authenticationTimeout: CONNECT_MS,
    enforceRequestTimeout: false, // ours is in run()
    retry: { retries: brokers.length - 1, initialRetryTime: 10, maxRetryTime: 100 },
    metadataMaxAge: 24 * 60 * 60 * 1000, // a moved leader shows itself as an error, and then the link is replaced
    allowAutoTopicCreation: false,
    isolationLevel: 0,
  });

  const destroy = (reason: Error): void => {
    broken = true;
    for (const socket of sockets) socket.destroy(reason); // with a reason, because kafkajs listens to 'error' and not to 'close'
  };
  const run = createRun({
    clock,
    name: `Kafka (${names.brokers})`,
    fail: (error) => {
      const wrapped = kafkaError(error, names);
      destroy(wrapped);
      return wrapped;
    },
  });
  const dispose = async (): Promise<void> => {
    const closed = [...sockets].map((socket) => new Promise<void>((resolve) => void socket.once('close', () => resolve())));
    destroy(new Error('The link was closed.'));
    await Promise.all(closed);
  };
  const link: KafkaLink = { cluster, isBroken: () => broken, run, [Symbol.asyncDispose]: dispose };
  await run('connecting', CONNECT_MS * 2, () => cluster.connect(), signal);
  return link;
}

function openSocket(
  { host, port, onConnect }: { host: string; port: number; onConnect: () => void },
  tls: ConnectionOptions | undefined,
): Socket {
  const socket =
    tls === undefined
      ? connectTcp({ host, port }, onConnect)
      : connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls }, onConnect);
  socket.setKeepAlive(true, 15_000);
  socket.setNoDelay(true);
  return socket;
}
