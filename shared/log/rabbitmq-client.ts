// A link: one AMQP connection, owned by us down to its socket. amqplib never revives a channel, and a closed one only says "closed":
// the first channel that closes, the first deadline that passes, ends the link with the reason that came before, and another is opened.
import { connect, type Channel, type ChannelModel, type ConfirmChannel } from 'amqplib';
import { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { createRun, type Run } from './broker-link.ts';
import { isEmptyWord, rabbitError } from './rabbitmq-errors.ts';
import type { RabbitSettings } from './rabbitmq-url.ts';

export type RabbitLink = AsyncDisposable & {
  isBroken(): boolean;
  /** Any failure breaks the link and ends its socket. */
  readonly run: Run;
  /** To be called inside `run`. */
  channel(): Promise<Channel>;
  confirmChannel(): Promise<ConfirmChannel>;
};

export type RabbitLinkOptions = RabbitSettings & { readonly clock: Clock; readonly clientName: string };

const CONNECT_MS = 10_000;
/** A frozen broker is noticed after three of them. */
const HEARTBEAT_SECONDS = 8;

export async function openRabbitLink(options: RabbitLinkOptions, signal: AbortSignal): Promise<RabbitLink> {
  const { hosts, clock } = options;
  const ended = new AbortController();
  const closed = Promise.withResolvers<void>();
  let isConnected = false;
  let reason: Error | undefined;
  let blocked: string | undefined;
  const isBroken = (): boolean => ended.signal.aborted;
  const destroy = (): void => {
    if (!isConnected) closed.resolve();
    ended.abort(new Error('The link was given up.')); // ends the socket, also one that is connecting
  };
  const run = createRun({
    clock,
    name: `RabbitMQ (${hosts.join(',')})`,
    fail: (error) => {
      destroy();
      if (blocked !== undefined)
        return new DocbusError(
          'log_busy',
          `RabbitMQ (${hosts.join(',')}) takes nothing at the moment: ${blocked}. Give it disk or memory.`,
          { cause: error },
        );
      return rabbitError(reason !== undefined && isEmptyWord(error) ? reason : error, options);
    },
  });
  const connection = await run(
    'connecting',
    CONNECT_MS * (hosts.length + 1),
    async () => await connectToAny(options, ended.signal),
    signal,
  );
  isConnected = true;
  connection.on('error', (error: Error) => (reason ??= error));
  connection.on('close', (error?: Error) => {
    reason ??= error;
    closed.resolve();
    destroy();
  });
  connection.on('blocked', (why) => (blocked = why));
  connection.on('unblocked', () => (blocked = undefined));
  const watch = <T extends Channel>(channel: T): T => channel.on('error', (error: Error) => (reason ??= error));
  return {
    isBroken,
    run,
    channel: async () => watch(await connection.createChannel()),
    confirmChannel: async () => watch(await connection.createConfirmChannel()),
    [Symbol.asyncDispose]: async () => {
      destroy();
      await closed.promise;
    },
  };
}

async function connectToAny(
  { hosts, tls, username, password, vhost, clientName }: RabbitLinkOptions,
  signal: AbortSignal,
): Promise<ChannelModel> {
  // A signal is a socket's option, of which amqplib's types know nothing.
  const socketOptions = {
    ...tls,
    signal,
    timeout: CONNECT_MS,
    noDelay: true,
    keepAlive: true,
    clientProperties: { connection_name: clientName },
  };
  let last: unknown;
  for (const host of hosts) {
    const [hostname = '', port] = host.split(':');
    try {
      return await connect(
        {
          protocol: tls === undefined ? 'amqp' : 'amqps',
          hostname,
          port: Number(port),
          vhost: encodeURIComponent(vhost), // amqplib decodes it
          heartbeat: HEARTBEAT_SECONDS,
          ...(username === undefined ? {} : { username, password: password ?? '' }),
        },
        socketOptions,
      );
    } catch (error) {
      last = error;
      if (signal.aborted) break;
    }
  }
  throw last;
}
