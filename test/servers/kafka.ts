// Real Kafka brokers for tests and benches: one process that is broker and controller (KRaft), small and quick to start.
// A broker keeps its ports and its data over kill and restart, so that clients find it again.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { openKafkaLink } from '@docbus/log/kafka-client.ts';
import { environment } from './find.ts';
import { findKafka, type KafkaLaunch, type KafkaLine } from './kafka-find.ts';
import { freePort, runProcess, startProcess, type Running } from './process.ts';

/** Disposing it is `stop()`. */
export type KafkaServer = AsyncDisposable & {
  /** `host:port` of the listener without any security; stays the same over restarts */
  readonly address: string;
  /** `host:port` of the listener with SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512), where `users` were given */
  readonly saslAddress: string;
  /** `host:port` of the listener with TLS, where `tls` was given */
  readonly tlsAddress: string;
  readonly version: string;
  /** Sends a signal and, for SIGKILL, waits until the process is gone. Nothing when it is stopped. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, then SIGKILL. May be called again. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same data and ports. */
  restart(): Promise<void>;
};

export type KafkaOptions = {
  /** made when it is missing; its data are used again when it is not */
  readonly directory: string;
  readonly version?: KafkaLine;
  /** added to server.properties */
  readonly properties?: Readonly<Record<string, string>>;
  /** name and password; then there is a SASL listener, and whoever comes through it may do nothing that no ACL allows */
  readonly users?: Readonly<Record<string, string>>;
  /** PEM files; then there is a TLS listener that wants a client certificate */
  readonly tls?: { readonly ca: string; readonly keyAndCertificate: string };
  /** a broker of one's own even where DOCBUS_TEST_KAFKA names one: for tests that kill it */
  readonly own?: boolean;
  readonly signal?: AbortSignal;
};

const READY_MS = 60_000;
const STOP_MS = 10_000;
const PORT_ATTEMPTS = 5;

export async function startKafka(options: KafkaOptions): Promise<KafkaServer> {
  const { directory, version = '4.x', own = false, signal } = options;
  const shared = environment('DOCBUS_TEST_KAFKA');
  if (shared !== undefined && !own) return external(shared);

  const launch = await findKafka(version, signal);
  const place = resolve(directory);
  mkdirSync(place, { recursive: true });
  let ports = await freePorts();
  let running: Running;
  for (let attempt = 1; ; attempt++) {
    // Between finding a free port and Kafka's listening on it another process may take it.
    try {
      await format(launch, options, place, ports);
      running = await launchOnce(launch, place, ports, signal);
      break;
    } catch (error) {
      if (attempt === PORT_ATTEMPTS || !/Address already in use/i.test((error as Error).message)) throw error;
      ports = await freePorts();
    }
  }
  const id = containerId(place);
  const stop = async (): Promise<void> => {
    launch.kill?.(id, 'SIGTERM');
    await running.stop();
  };
  return {
    address: `127.0.0.1:${ports.plain}`,
    saslAddress: `127.0.0.1:${ports.sasl}`,
    tlsAddress: `localhost:${ports.tls}`,
    version: launch.version,
    kill: async (by) => {
      launch.kill?.(id, by);
      running.kill(by);
      if (by === 'SIGKILL') await running.stop();
    },
    stop,
    restart: async () => {
      await stop();
      running = await launchOnce(launch, place, ports, signal);
    },
    [Symbol.asyncDispose]: stop,
  };
}

function external(address: string): KafkaServer {
  const refuse = async (): Promise<void> => {
    throw new Error(
      `The broker ${address} of DOCBUS_TEST_KAFKA is somebody else's; it is not killed or restarted. Ask for one of your own (own: true).`,
    );
  };
  const leave = async (): Promise<void> => {};
  return {
    address,
    saslAddress: '',
    tlsAddress: '',
    version: 'external',
    kill: refuse,
    restart: refuse,
    stop: leave,
    [Symbol.asyncDispose]: leave,
  };
}

type Ports = { readonly plain: number; readonly controller: number; readonly sasl: number; readonly tls: number };

async function freePorts(): Promise<Ports> {
  const [plain, controller, sasl, tls] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  return { plain, controller, sasl, tls };
}

/** Writes server.properties and, for a new directory, the storage's identity and the SCRAM users. */
async function format(launch: KafkaLaunch, options: KafkaOptions, place: string, ports: Ports): Promise<void> {
  const file = join(place, 'server.properties');
  writeFileSync(file, propertiesText({ ...serverProperties(options, place, ports), ...options.properties }));
  if (existsSync(join(place, 'data', 'meta.properties'))) return;
  // The digit keeps it from beginning with a dash, which would be an option.
  const clusterId = `0${createHash('sha256').update(place).digest().subarray(0, 16).toString('base64url').slice(1)}`;
  const scram = Object.entries(options.users ?? {}).flatMap(([name, password]) =>
    ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${name},password=${password}]`]),
  );
  const { command, args } = launch.java(['-Xmx256m', 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', file, ...scram], {
    id: `${containerId(place)}-format`,
    directory: place,
  });
  await runProcess({ name: 'Formatting the storage of Kafka', command, args, directory: place, output: `${place}.log` }, options.signal);
}

function launchOnce(launch: KafkaLaunch, place: string, ports: Ports, signal?: AbortSignal): Promise<Running> {
  const heap = ['-Xms64m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn'];
  const { command, args } = launch.java([...heap, 'kafka.Kafka', join(place, 'server.properties')], {
    id: containerId(place),
    directory: place,
  });
  return startProcess(
    {
      name: `Kafka ${launch.version} (${launch.name})`,
      command,
      args,
      directory: place,
      env: { KAFKA_OPTS: undefined },
      output: `${place}.log`,
      ready: (attempt) => answers(ports.plain, attempt),
      readyMs: READY_MS,
      stopMs: STOP_MS,
    },
    signal,
  );
}

/** True when the broker serves requests: the port listens long before. */
async function answers(port: number, signal: AbortSignal): Promise<boolean> {
  await using link = await openKafkaLink({ brokers: [`127.0.0.1:${port}`], clientId: 'docbus-test' }, signal);
  await link.run('asking for brokers', 5_000, () => link.cluster.refreshMetadata(), signal);
  return link.cluster.getNodeIds().length > 0;
}

function serverProperties({ users, tls }: KafkaOptions, place: string, ports: Ports): Record<string, string> {
  const listeners: Record<string, string> = { PLAINTEXT: `127.0.0.1:${ports.plain}`, CONTROLLER: `127.0.0.1:${ports.controller}` };
  if (users !== undefined) listeners['SASL_PLAINTEXT'] = `127.0.0.1:${ports.sasl}`;
  if (tls !== undefined) listeners['SSL'] = `localhost:${ports.tls}`;
  const list = (names: readonly string[]) => names.map((name) => `${name}://${listeners[name]}`).join(',');
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${ports.controller}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL',
    listeners: list(Object.keys(listeners)),
    'advertised.listeners': list(Object.keys(listeners).filter((name) => name !== 'CONTROLLER')),
    'log.dirs': join(place, 'data'),
    // One of everything: a test's broker has one client or three.
    'num.partitions': '1',
    'default.replication.factor': '1',
    'offsets.topic.num.partitions': '1',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'num.network.threads': '1',
    'num.io.threads': '2',
    'background.threads': '1',
    // Compaction that a test can wait for.
    'log.cleaner.threads': '1',
    'log.cleaner.dedupe.buffer.size': String(4 << 20),
    'log.cleaner.backoff.ms': '200',
    'log.retention.check.interval.ms': '500',
    'log.initial.task.delay.ms': '500',
    'group.initial.rebalance.delay.ms': '0',
    // After kill -9 the broker is let in again when its old session is over.
    'broker.session.timeout.ms': '1500',
    'broker.heartbeat.interval.ms': '300',
    'auto.create.topics.enable': 'false',
    ...(users === undefined ? {} : securityProperties(users)),
    ...(tls === undefined
      ? {}
      : {
          'ssl.client.auth': 'required',
          'ssl.keystore.type': 'PEM',
          'ssl.keystore.location': tls.keyAndCertificate,
          'ssl.truststore.type': 'PEM',
          'ssl.truststore.location': tls.ca,
        }),
  };
}

/** Whoever comes without a name may do everything: that is how a test gives rights. */
function securityProperties(users: Readonly<Record<string, string>>): Record<string, string> {
  const plain = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`);
  const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'];
  return {
    'sasl.enabled.mechanisms': mechanisms.join(','),
    'listener.name.sasl_plaintext.plain.sasl.jaas.config': `org.apache.kafka.common.security.plain.PlainLoginModule required ${plain.join(' ')};`,
    'listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
  };
}

function propertiesText(properties: Readonly<Record<string, string>>): string {
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

function containerId(place: string): string {
  return `docbus-test-kafka-${createHash('sha256').update(place).digest('hex').slice(0, 12)}`;
}
