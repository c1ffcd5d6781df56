// The stream behind a log: declared, and known by the record at its beginning. What that record says is the log's identity:
// its own random message id at offset 0, and where retention has cut the beginning off, the id that every later record carries in a header.
import type { Channel, ConsumeMessage } from 'amqplib';
import { DocbusError, sha256 } from '@docbus/core';
import { randomUuid, type Clock } from '@docbus/runtime/clock.ts';
import type { LogRecord } from './port.ts';
import type { RabbitLink } from './rabbitmq-client.ts';
import { codeOf, isNotReady, NOT_FOUND, StreamGone } from './rabbitmq-errors.ts';
import type { RabbitSettings } from './rabbitmq-url.ts';

/** Headers of ours beside the record's own. */
const KEY = 'docbus-key';
const LOG = 'docbus-log';
const TIME = 'docbus-time';
const NULL = 'docbus-null';
const OURS = new Set([KEY, LOG, TIME, NULL, 'x-stream-offset']);

/** Nobody reads a record with a key of this kind; it is there so that the log has an identity before it has anything else. */
export const isIdentityKey = (key: string): boolean => key.startsWith('identity/');

/** `mark`: no other record has it, though it may have the same offset where the stream lost its tail in between. */
export type Delivered = LogRecord & { readonly offset: number; readonly time: number; readonly mark: string };
export type StreamHead = { readonly identity: string; readonly offset: number; readonly isIdentityRecord: boolean };
export type StreamOptions = RabbitSettings & { readonly clock: Clock };

const NOT_READY_MS = 10_000;

/** Declares the stream. To be called inside `link.run`, as everything here. */
export async function openStream(link: RabbitLink, options: StreamOptions, signal: AbortSignal): Promise<void> {
  const { stream, mayCreate, hosts, vhost } = options;
  const declare = async (): Promise<void> => {
    const channel = await link.channel();
    if (mayCreate) await channel.assertQueue(stream, { durable: true, arguments: options.arguments });
    else await channel.checkQueue(stream);
    await channel.close();
  };
  try {
    await whenReady(declare, options, signal);
    await whenReady(async () => await readFirst(link, options), options, signal);
  } catch (error) {
    if (mayCreate || codeOf(error) !== NOT_FOUND || isNotReady(error)) throw error;
    throw new DocbusError(
      'log_refused',
      `RabbitMQ (${hosts.join(',')}) has no stream ${stream} in ${vhost}, and it is not made where the log is only read or create=false is set. Make it (a durable queue with x-queue-type: stream), or allow it.`,
      { cause: error },
    );
  }
}

/** Each refusal costs a channel, not the connection. */
async function whenReady<T>(work: () => Promise<T>, { clock }: StreamOptions, signal: AbortSignal): Promise<T> {
  for (const started = clock.now(); ;) {
    try {
      return await work();
    } catch (error) {
      if (!isNotReady(error) || clock.now() - started > NOT_READY_MS) throw error;
      await clock.sleep(100, signal);
    }
  }
}

/** The first record that is left, and with it the log's identity. Where there is no record yet, writes one. */
export async function readHead(link: RabbitLink, options: StreamOptions): Promise<StreamHead> {
  for (;;) {
    const first = await readFirst(link, options);
    if (first !== undefined) return headOf(first);
    const channel = await link.confirmChannel();
    const id = randomUuid(options.clock);
    publishRecord(channel, options, { key: `identity/${id}`, value: Buffer.alloc(0), headers: {} }, { messageId: id, identity: id });
    await channel.waitForConfirms();
    await channel.close();
  }
}

/** undefined where the stream is empty: RabbitMQ sends what there is before it answers the question that follows the subscription. */
async function readFirst(link: RabbitLink, { stream }: StreamOptions): Promise<ConsumeMessage | undefined> {
  const channel = await link.channel();
  await channel.prefetch(1);
  let first: ConsumeMessage | undefined;
  let isGone = false;
  await channel.consume(
    stream,
    (message) => {
      if (message === null) isGone = true;
      else first ??= message;
    },
    { arguments: { 'x-stream-offset': 'first' } },
  );
  await channel.checkQueue(stream);
  if (isGone) throw new StreamGone(`${stream} was deleted`);
  await channel.close();
  return first;
}

function headOf(message: ConsumeMessage): StreamHead {
  const { offset, key } = fromMessage(message);
  const own: unknown = message.properties.messageId;
  const carried: unknown = message.properties.headers?.[LOG];
  const identity = offset === 0 ? own : carried;
  return {
    offset,
    isIdentityRecord: isIdentityKey(key),
    identity: typeof identity === 'string' ? identity : sha256(message.content).slice(0, 32),
  };
}

/** `mandatory`: RabbitMQ confirms what it could not deliver to any queue, and only a mandatory publish is handed back before. */
export function publishRecord(
  channel: Channel,
  { stream, clock }: StreamOptions,
  record: LogRecord,
  { messageId, identity }: { readonly messageId: string; readonly identity: string },
  confirmed?: (error: unknown) => void,
): void {
  const { key, value, headers } = record;
  const contentType = headers['content-type'];
  const ours = { [KEY]: key, [LOG]: identity, [TIME]: String(clock.now()), ...(value === null ? { [NULL]: 'true' } : {}) };
  const body = value === null ? Buffer.alloc(0) : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const publish = channel.publish.bind(channel) as (...given: unknown[]) => boolean; // a confirm channel's takes a callback
  publish(
    '',
    stream,
    body,
    {
      mandatory: true,
      persistent: true,
      messageId,
      headers: { ...headers, ...ours },
      ...(contentType === undefined ? {} : { contentType }),
    },
    confirmed,
  );
}

/** Throws `log_refused` where the queue is no stream. */
export function fromMessage({ properties, content }: ConsumeMessage): Delivered {
  const all: Readonly<Record<string, unknown>> = properties.headers ?? {};
  const offset = all['x-stream-offset'];
  if (typeof offset !== 'number')
    throw new DocbusError(
      'log_refused',
      "The queue that the log's URL names is no stream (its messages have no offset). Name another one.",
    );
  const headers = Object.fromEntries(
    Object.entries(all).filter((header): header is [string, string] => !OURS.has(header[0]) && typeof header[1] === 'string'),
  );
  const key = all[KEY];
  const messageId: unknown = properties.messageId;
  return {
    offset,
    mark: sha256(typeof messageId === 'string' ? Buffer.from(messageId) : content).slice(0, 16),
    time: Number(all[TIME] ?? 0),
    key: typeof key === 'string' ? key : '',
    value: all[NULL] === undefined ? content : null,
    headers,
  };
}
