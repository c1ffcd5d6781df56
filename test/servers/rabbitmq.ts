// Real RabbitMQ brokers for tests and benches: one node with streams, on ports, in directories and with an Erlang cookie of its own,
// so that several of them and the machine's own stand side by side. A broker keeps its ports and its data over kill and restart.
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join, resolve } from 'node:path';
import { connect } from 'amqplib';
import { environment } from './find.ts';
import { freePort, runProcess, spawnProcess, startProcess, waitFor, type Running } from './process.ts';
import { findRabbit, type RabbitLaunch, type RabbitPlace } from './rabbitmq-find.ts';

/** Disposing it is `stop()`. */
export type RabbitServer = AsyncDisposable & {
  /** `amqp://guest:guest@127.0.0.1:<port>`, without a virtual host; stays the same over restarts */
  readonly url: string;
  readonly port: number;
  /** `amqps://guest:guest@localhost:<port>`, where `tls` was given */
  readonly tlsUrl: string;
  /** Sends a signal and, for SIGKILL, waits until the process is gone. Nothing when it is stopped. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** SIGTERM, then SIGKILL. May be called again. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same data and ports. */
  restart(): Promise<void>;
  /** Runs `rabbitmqctl` on the broker and returns its output. */
  control(args: readonly string[]): Promise<string>;
};

export type RabbitOptions = {
  /** made when it is missing; its data are used again when it is not */
  readonly directory: string;
  /** added to rabbitmq.conf */
  readonly settings?: Readonly<Record<string, string>>;
  /** PEM files; then there is a TLS listener that wants a client certificate */
  readonly tls?: { readonly ca: string; readonly certificate: string; readonly key: string };
  /** a broker of one's own even where DOCBUS_TEST_AMQP names one: for tests that kill it */
  readonly own?: boolean;
  readonly signal?: AbortSignal;
};

type Ports = { readonly amqp: number; readonly tls: number; readonly distribution: number; readonly epmd: number };

const READY_MS = 60_000;
const STOP_MS = 15_000;
const PORT_ATTEMPTS = 5;

export async function startRabbit(options: RabbitOptions): Promise<RabbitServer> {
  const { directory, own = false, signal } = options;
  const shared = environment('DOCBUS_TEST_AMQP');
  if (shared !== undefined && !own) return external(shared);

  const launch = await findRabbit(signal);
  const place = resolve(directory);
  mkdirSync(place, { recursive: true });
  const isNew = !existsSync(join(place, 'data'));
  let ports = await freePorts();
  let running: Node;
  for (let attempt = 1; ; attempt++) {
    // Between finding a free port and the broker's listening on it another process may take it.
    try {
      running = await launchOnce(launch, options, place, ports);
      break;
    } catch (error) {
      if (attempt === PORT_ATTEMPTS || !/eaddrinuse|address already in use/i.test((error as Error).message)) throw error;
      ports = await freePorts();
    }
  }
  if (isNew) await makeFirstStream(place, ports, signal);
  const { id, env } = placeOf(place, ports);
  const stop = async (): Promise<void> => {
    launch.kill?.(id, 'SIGTERM');
    await running.broker.stop();
    launch.kill?.(`${id}-epmd`, 'SIGKILL');
    await running.epmd.stop();
  };
  return {
    url: `amqp://guest:guest@127.0.0.1:${ports.amqp}`,
    port: ports.amqp,
    tlsUrl: `amqps://guest:guest@localhost:${ports.tls}`,
    kill: async (by) => {
      launch.kill?.(id, by);
      running.broker.kill(by);
      if (by === 'SIGKILL') await running.broker.stop();
    },
    stop,
    restart: async () => {
      await stop();
      running = await launchOnce(launch, options, place, ports);
    },
    control: async (args) => {
      const output = join(place, 'control.out');
      rmSync(output, { force: true });
      const { command, args: before } = launch.tool('rabbitmqctl', { id, directory: place, env });
      await runProcess({ name: 'rabbitmqctl', command, args: [...before, ...args], env, output }, signal);
      return readFileSync(output, 'utf8');
    },
    [Symbol.asyncDispose]: stop,
  };
}

function external(url: string): RabbitServer {
  const refuse = async (): Promise<never> => {
    throw new Error(
      'The broker of DOCBUS_TEST_AMQP is somebody else’s; it is not killed, restarted or configured. Ask for one of your own (own: true).',
    );
  };
  const leave = async (): Promise<void> => {};
  const port = Number(new URL(url).port || 5672);
  return {
    url: url.replace(/\/$/, ''),
    port,
    tlsUrl: '',
    kill: refuse,
    restart: refuse,
    control: refuse,
    stop: leave,
    [Symbol.asyncDispose]: leave,
  };
}

async function freePorts(): Promise<Ports> {
  const [amqp, tls, distribution, epmd] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  return { amqp, tls, distribution, epmd };
}

type Node = { readonly broker: Running; readonly epmd: Running };

async function launchOnce(launch: RabbitLaunch, { settings, tls, signal }: RabbitOptions, directory: string, ports: Ports): Promise<Node> {
  writeFileSync(join(directory, 'rabbitmq.conf'), configuration(ports, tls, settings));
  writeFileSync(join(directory, 'enabled_plugins'), '[].\n');
  const place = placeOf(directory, ports);
  const output = `${directory}.log`;
  const epmd = spawnProcess({ name: 'epmd', ...launch.epmd(place), directory, env: place.env, output, stopSignal: 'SIGKILL' });
  try {
    await waitFor('epmd to listen', async (attempt) => await listens(ports.epmd, attempt), { deadlineMs: 10_000 }, signal);
    const broker = await startProcess(
      {
        name: `RabbitMQ (${launch.name})`,
        ...launch.server(place),
        directory,
        env: place.env,
        output,
        ready: async () => await answers(ports.amqp),
        readyMs: READY_MS,
        stopMs: STOP_MS,
      },
      signal,
    );
    return { broker, epmd };
  } catch (error) {
    await epmd.stop();
    throw error;
  }
}

function placeOf(directory: string, ports: Ports): RabbitPlace {
  const id = `docbus-test-rabbitmq-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}`;
  const env = {
    HOME: directory, // where the cookie is
    RABBITMQ_NODENAME: `${id}@localhost`,
    RABBITMQ_MNESIA_BASE: join(directory, 'data'),
    RABBITMQ_LOG_BASE: join(directory, 'logs'),
    RABBITMQ_PID_FILE: join(directory, 'pid'),
    RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'enabled_plugins'),
    RABBITMQ_FEATURE_FLAGS_FILE: join(directory, 'feature_flags'),
    RABBITMQ_CONF_ENV_FILE: join(directory, 'none'), // the machine's own is not ours
    RABBITMQ_DIST_PORT: String(ports.distribution),
    ERL_EPMD_PORT: String(ports.epmd),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
  };
  return { id, directory, env };
}

function configuration(ports: Ports, tls: RabbitOptions['tls'], settings: RabbitOptions['settings'] = {}): string {
  const lines: Record<string, string> = {
    'listeners.tcp.1': `127.0.0.1:${ports.amqp}`,
    'log.console': 'true',
    'log.console.level': 'warning',
    'log.file': 'false',
    'disk_free_limit.absolute': '50MB',
    'vm_memory_high_watermark.absolute': '512MB',
    // A stream's leader is found at once after a restart.
    collect_statistics_interval: '60000',
    ...(tls === undefined
      ? {}
      : {
          'listeners.ssl.1': `127.0.0.1:${ports.tls}`,
          'ssl_options.cacertfile': tls.ca,
          'ssl_options.certfile': tls.certificate,
          'ssl_options.keyfile': tls.key,
          'ssl_options.verify': 'verify_peer',
          'ssl_options.fail_if_no_peer_cert': 'true',
        }),
    ...settings,
  };
  return Object.entries(lines)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

/**
 * A RabbitMQ that is killed in the first second of the first stream of its life never finds any stream of its own again: where its
 * stream coordinator is, is not on disk yet. (Seen with 3.10. Its operator would delete the streams and let the replicas refill the log.)
 */
async function makeFirstStream(directory: string, ports: Ports, signal?: AbortSignal): Promise<void> {
  const connection = await connect(`amqp://guest:guest@127.0.0.1:${ports.amqp}`, { timeout: 5_000 });
  const channel = await connection.createChannel();
  await channel.assertQueue('docbus-test-first', { durable: true, arguments: { 'x-queue-type': 'stream' } });
  await channel.deleteQueue('docbus-test-first');
  await connection.close();
  const isOnDisk = (): boolean => {
    const files = globSync(join(directory, 'data', '*', 'coordination', '*', 'names.dets'));
    return files.length === 0 || files.some((file) => readFileSync(file).includes('rabbit_stream_coordinator')); // none: a later layout
  };
  await waitFor('RabbitMQ to remember where its streams are', isOnDisk, { deadlineMs: 30_000 }, signal);
}

async function answers(port: number): Promise<boolean> {
  const connection = await connect(`amqp://guest:guest@127.0.0.1:${port}`, { timeout: 5_000 });
  await connection.close();
  return true;
}

async function listens(port: number, signal: AbortSignal): Promise<boolean> {
  const connected = Promise.withResolvers<boolean>();
  const socket = createConnection({ host: '127.0.0.1', port, signal }, () => connected.resolve(true)).on('error', connected.reject);
  try {
    return await connected.promise;
  } finally {
    socket.destroy();
  }
}
