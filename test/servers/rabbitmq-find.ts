// Where a RabbitMQ broker comes from on this machine, in order: installed; Debian's or Ubuntu's package, when we may install it; Docker.
// A system service that comes with the package is kept from starting: the brokers of tests have ports and directories of their own.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, globSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { cacheDirectory, progress, withLock } from './cache.ts';
import { findCommand } from './find.ts';
import { runProcess } from './process.ts';

/** The image of Docker Hub, where it is us who choose. */
export const RABBITMQ_IMAGE = 'rabbitmq:4.1';

export type RabbitLaunch = {
  /** for messages */
  readonly name: string;
  /** `id` names a container where there is one; `directory` must be visible to it. */
  server(place: RabbitPlace): RabbitCommand;
  /** The Erlang port mapper in the foreground: left to itself, a broker starts one that outlives it. */
  epmd(place: RabbitPlace): RabbitCommand;
  /** A command line tool of the broker's: `rabbitmqctl`, `rabbitmq-diagnostics`, … */
  tool(name: string, place: RabbitPlace): RabbitCommand;
  /** Where the process we start is not the broker itself. */
  kill?(id: string, signal: NodeJS.Signals): void;
};
export type RabbitPlace = { readonly id: string; readonly directory: string; readonly env: Readonly<Record<string, string>> };
export type RabbitCommand = { readonly command: string; readonly args: readonly string[] };

export async function findRabbit(signal?: AbortSignal): Promise<RabbitLaunch> {
  const refused: string[] = [];
  for (const find of [async () => installed(), fromApt, async () => fromDocker()]) {
    const found = await find(signal);
    if (typeof found !== 'string') return found;
    refused.push(found);
  }
  throw new Error(
    `No RabbitMQ can be run here, and these tests are worth nothing without one.\n${refused.map((reason) => `- ${reason}`).join('\n')}\n` +
      'Install it (Debian, Ubuntu: apt install rabbitmq-server), or Docker, or name a broker in DOCBUS_TEST_AMQP (amqp://user:password@host:port/vhost).',
  );
}

/** Debian's `rabbitmq-server` on PATH insists on its own user and directories; the scripts behind it do not. */
function installed(): RabbitLaunch | string {
  const places = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/local/sbin',
    '/opt/homebrew/sbin',
    ...globSync('/opt/rabbitmq*/sbin'),
  ];
  const command = findCommand('rabbitmq-server', ['/usr/lib/rabbitmq/bin', ...places]);
  if (command === undefined) return 'There is no `rabbitmq-server` on PATH or in /usr/lib/rabbitmq/bin.';
  const epmd = findCommand('epmd') ?? globSync('/usr/lib/erlang/erts-*/bin/epmd')[0];
  if (epmd === undefined) return `There is ${command}, but no \`epmd\` of Erlang on PATH.`;
  return {
    name: command,
    server: () => ({ command, args: [] }),
    epmd: () => ({ command: epmd, args: [] }),
    tool: (name) => ({ command: join(dirname(command), name), args: [] }),
  };
}

async function fromApt(signal?: AbortSignal): Promise<RabbitLaunch | string> {
  const apt = findCommand('apt-get');
  if (apt === undefined) return 'There is no `apt-get`.';
  if (process.getuid?.() !== 0) return 'apt-get would install it, but only for root.';
  const output = join(cacheDirectory(), 'rabbitmq-install.log');
  const run = async (args: readonly string[]): Promise<void> => {
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    await runProcess({ name: `apt-get ${args[0]}`, command: apt, args, env, output }, signal);
  };
  try {
    await withLock('rabbitmq', async () => {
      if (typeof installed() !== 'string') return; // another process was faster
      progress('Installing rabbitmq-server with apt-get (about 40 MB, once)');
      const allow = denyServices();
      try {
        await run(['update']);
        await run(['install', '-y', '--no-install-recommends', 'rabbitmq-server']);
      } finally {
        allow();
      }
      progress('Installed rabbitmq-server', true);
    });
    return installed();
  } catch (error) {
    signal?.throwIfAborted();
    return `apt-get could not install it: ${(error as Error).message}`;
  }
}

/** Packages ask this script before they start a service. Where there is one already, it stays (containers have one that says no). */
function denyServices(): () => void {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy)) return () => {};
  writeFileSync(policy, '#!/bin/sh\nexit 101\n');
  chmodSync(policy, 0o755);
  return () => rmSync(policy, { force: true });
}

/** A container outlives the `docker run` that shows its output, so signals go to it by name. */
function fromDocker(): RabbitLaunch | string {
  const docker = findCommand('docker');
  if (docker === undefined) return 'There is no `docker` on PATH.';
  if (spawnSync(docker, ['info'], { stdio: 'ignore' }).status !== 0)
    return 'Docker is installed, but its daemon does not answer (docker info).';
  const user = `${process.getuid?.() ?? 1000}:${process.getgid?.() ?? 1000}`;
  const run = (entry: string, { id, directory, env }: RabbitPlace): RabbitCommand => ({
    command: docker,
    args: ['run', '--rm', '--name', id, '--label', `docbus.owner=${process.pid}`, '--user', user, '--network', 'host']
      .concat(Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]))
      .concat(['--volume', `${directory}:${directory}`, '--entrypoint', entry, RABBITMQ_IMAGE]),
  });
  return {
    name: 'Docker',
    server: (place) => run('rabbitmq-server', place),
    epmd: (place) => run('epmd', { ...place, id: `${place.id}-epmd` }),
    tool: (name, place) => ({ command: docker, args: ['exec', place.id, name] }),
    kill: (id, signal) => void spawnSync(docker, ['kill', '--signal', signal, id], { stdio: 'ignore' }),
  };
}
