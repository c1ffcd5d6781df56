// A log on a real broker, behind a proxy and on a small disk, with everything that can be done to it.
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { mountSmallDisk, noSmallDisk, type SmallDisk } from '../e2e/small-disk.ts';
import { startKafka } from '../servers/kafka.ts';
import { startProxy, type TcpProxy } from '../servers/proxy.ts';
import { waitFor } from '../servers/process.ts';
import { startRabbit } from '../servers/rabbitmq.ts';
import { fillDisk } from './disk.ts';
import type { Fault } from './fault.ts';
import { greet } from './greet.ts';
import type { FaultedLog } from './logs.ts';
import { kafkaEnd, loseKafkaTail, loseRabbitTail, rabbitEnd, type LostTail } from '../log/lose-tail.ts';

type Server = {
  kill(signal: NodeJS.Signals): Promise<void>;
  stop(): Promise<void>;
  restart(): Promise<void>;
};

/** What Kafka's log of its own cluster needs, and enough for minutes of edits. */
const DISK_MB = 512;

export async function openKafkaFaults(directory: string, freezeMs: number): Promise<FaultedLog> {
  await using stack = new AsyncDisposableStack();
  const disk = smallDisk(stack, join(directory, 'kafka'));
  let port = 0;
  const proxy = stack.use(await startProxy({ target: () => port }));
  const properties = { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${proxy.port}` };
  const server = stack.use(await startKafka({ directory: join(directory, 'kafka'), own: true, properties }));
  port = Number(server.address.split(':')[1]);
  const answer = async () => await greet('kafka', port);
  const faults = brokerFaults(server, proxy, answer, freezeMs);
  faults.push(
    tailLost(server, {
      end: () => kafkaEnd(join(directory, 'kafka'), 'docbus'),
      lose: (offset) => loseKafkaTail(join(directory, 'kafka'), 'docbus', offset),
    }),
  );
  if (disk !== undefined) {
    const filled = fillDisk(disk.directory);
    faults.push({
      name: 'disk full',
      holdMs: [500, 4_000],
      inject: async () => filled.fill(0),
      // Kafka gives up a directory that it cannot write to, and itself with the last of them.
      proof: async (heard) =>
        (await answer()) === 'refused'
          ? 'the broker ended itself'
          : heard.failedWith('log_busy', 'log_unreachable', 'log_refused')
            ? 'a step of an agent failed'
            : undefined,
      heal: async () => {
        filled.empty();
        await server.restart();
      },
    });
  }
  const owned = stack.move();
  return { url: `kafka://127.0.0.1:${proxy.port}/docbus?check=false`, faults, cannot: cannot(disk), ...disposing(owned) };
}

export async function openRabbitFaults(directory: string, freezeMs: number): Promise<FaultedLog> {
  await using stack = new AsyncDisposableStack();
  const disk = smallDisk(stack, join(directory, 'rabbitmq'));
  let port = 0;
  const proxy = stack.use(await startProxy({ target: () => port }));
  const server = stack.use(await startRabbit({ directory: join(directory, 'rabbitmq'), own: true }));
  ({ port } = server);
  const faults = brokerFaults(server, proxy, async () => await greet('rabbitmq', port), freezeMs);
  faults.push(
    tailLost(server, {
      end: () => rabbitEnd(join(directory, 'rabbitmq'), 'docbus'),
      lose: (offset) => loseRabbitTail(join(directory, 'rabbitmq'), 'docbus', offset),
    }),
  );
  if (disk !== undefined) {
    const filled = fillDisk(disk.directory);
    faults.push({
      name: 'disk full',
      holdMs: [500, 8_000],
      inject: async () => filled.fill(20), // RabbitMQ stops taking anything below 50 MB
      proof: async () =>
        /resource_limit,\s*disk/.test(await server.control(['eval', 'rabbit_alarm:get_alarms().']))
          ? 'the broker raised its disk alarm'
          : undefined,
      heal: async () => filled.empty(),
    });
  }
  const owned = stack.move();
  return { url: `amqp://guest:guest@127.0.0.1:${proxy.port}/?stream=docbus`, faults, cannot: cannot(disk), ...disposing(owned) };
}

function brokerFaults(server: Server, proxy: TcpProxy, answer: () => Promise<string>, freezeMs: number): Fault[] {
  const failed = ['log_unreachable', 'log_busy'] as const;
  let cut = 0;
  let swallowed = 0;
  return [
    {
      name: 'broker killed',
      holdMs: [0, 2_000],
      inject: async () => await server.kill('SIGKILL'),
      proof: async (heard) =>
        (await answer()) === 'refused' && heard.failedWith(...failed) ? 'it refuses, and a step of an agent failed' : undefined,
      heal: async () => await server.restart(),
    },
    {
      name: 'broker frozen',
      holdMs: [freezeMs / 3, freezeMs],
      inject: async () => await server.kill('SIGSTOP'),
      proof: async (heard) =>
        (await answer()) === 'silent' && (heard.failedWith(...failed) || (await heard.lagUnknown()))
          ? 'it takes connections and says nothing, and an agent cannot tell its lag'
          : undefined,
      heal: async () => await server.kill('SIGCONT'),
    },
    {
      name: 'broker restarted slowly',
      holdMs: [3_000, 8_000],
      inject: async () => await server.stop(),
      proof: async (heard) =>
        (await answer()) === 'refused' && heard.failedWith(...failed) ? 'it refuses, and a step of an agent failed' : undefined,
      heal: async () => await server.restart(),
    },
    {
      name: 'connections cut',
      holdMs: [0, 5_000],
      inject: async () => {
        proxy.refuse(true);
        cut = proxy.cut();
      },
      proof: async (heard) =>
        cut > 0 && heard.failedWith(...failed) ? 'connections were reset, and a step of an agent failed' : undefined,
      heal: async () => proxy.refuse(false),
    },
    {
      name: 'answers lost',
      holdMs: [500, 2_000],
      inject: async () => {
        swallowed = 0;
        proxy.onAnswer(() => (swallowed += 1) > 0);
      },
      proof: async () => (swallowed >= 3 ? 'the broker answered, and nobody heard it' : undefined),
      heal: async () => proxy.onAnswer(undefined),
    },
  ];
}

/** A tail is not the whole log. */
const RECORDS_BEFORE = 8;
const LOST_MAX = 25;

/** A power cut: what the broker had acknowledged and not flushed is gone, and after it others get the same numbers. */
function tailLost(server: Server, files: { readonly end: () => number; readonly lose: (offset: number) => LostTail }): Fault {
  let lost: LostTail | undefined;
  let endAfter = 0;
  return {
    name: 'tail lost',
    holdMs: [500, 3_000],
    inject: async (random) => {
      lost = undefined;
      await waitFor('some records', () => files.end() > RECORDS_BEFORE, { deadlineMs: 60_000, everyMs: 200 });
      await server.kill('SIGKILL');
      lost = files.lose(Math.max(2, files.end() - 1 - random.below(LOST_MAX)));
      endAfter = files.end();
      await server.restart();
    },
    proof: async () =>
      lost !== undefined && endAfter === lost.from
        ? `records ${lost.from} to ${lost.to} are gone, the log went on at ${endAfter}`
        : undefined,
    heal: async () => {},
  };
}

/** The broker's data lie on it, its other files do not: a broker that cannot even write its words is another fault. */
function smallDisk(stack: AsyncDisposableStack, directory: string): SmallDisk | undefined {
  if (noSmallDisk() !== undefined) return undefined;
  const disk = mountSmallDisk(DISK_MB);
  stack.use(disk);
  mkdirSync(directory, { recursive: true });
  symlinkSync(disk.directory, join(directory, 'data'));
  return disk;
}

function cannot(disk: SmallDisk | undefined): readonly string[] {
  return disk === undefined ? [`disk full: ${noSmallDisk()}`] : [];
}

function disposing(stack: AsyncDisposableStack): AsyncDisposable {
  return { [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}
