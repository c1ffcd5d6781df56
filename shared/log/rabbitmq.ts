// The log as a RabbitMQ stream over AMQP 0.9.1. A position is the log's identity and the offset of the last record read.
// Two connections: one appends, one reads; whatever fails ends its connection, and the next call opens another.
import { randomUuid } from '@docbus/runtime/clock.ts';
import { checkAborted, checkRecordSizes, recordBytesMaxDefault } from './bounds.ts';
import type { Log, LogEnd, LogOptions, LogRecord, Position, ReadLimits, ReadRecord } from './port.ts';
import { parsePosition } from './position.ts';
import { createRabbitAppender } from './rabbitmq-append.ts';
import { createRabbitReader } from './rabbitmq-reader.ts';
import { createRabbitSessions } from './rabbitmq-session.ts';
import { readHead } from './rabbitmq-stream.ts';
import { parseRabbitUrl } from './rabbitmq-url.ts';
import { createWake, type Wake } from './wake.ts';

/** What a URL may say is in rabbitmq-url.ts. */
export type RabbitLogOptions = LogOptions & { readonly url: string };

const REQUEST_MS = 30_000;
/** From the last confirm on. */
const APPEND_MS = 30_000;
/** While the broker pushes to us, hints come from what arrives; this is for the case that it forgot us. */
const HINT_MS = 5_000;
const HINT_UNSUBSCRIBED_MS = 1_000;

/** Connects at the first use: an unreachable broker is an error of that use, not of opening. Throws `config_invalid`. */
export async function openRabbitLog({ url, replica, clock }: RabbitLogOptions, opening: AbortSignal): Promise<Log> {
  const settings = parseRabbitUrl(url);
  const { name } = settings;
  checkAborted(opening, name);
  const options = { ...settings, clock };
  const closing = new AbortController();
  const wakes = new Set<Wake>();
  /** the newest identity that either connection has seen: appended records carry it */
  let identityNow: string | undefined;
  const sawIdentity = (identity: string): void => {
    identityNow = identity;
  };
  const wakeAll = (): void => wakes.forEach((wake) => wake.set());

  const reading = createRabbitSessions({ ...options, clientName: `docbus-${replica} reads` }, async () => undefined);
  const writing = createRabbitSessions({ ...options, clientName: `docbus-${replica} appends` }, async (link) => {
    sawIdentity((await readHead(link, options)).identity);
    return createRabbitAppender(await link.confirmChannel(), options, randomUuid(clock));
  });
  const reader = createRabbitReader(options, wakeAll, sawIdentity);

  const until = (signal: AbortSignal): AbortSignal => {
    const either = AbortSignal.any([signal, closing.signal]);
    checkAborted(either, name);
    return either;
  };

  const append = async (records: readonly LogRecord[], signal: AbortSignal): Promise<void> => {
    const either = until(signal);
    checkRecordSizes(records, recordBytesMaxDefault, name);
    if (records.length === 0) return;
    await writing.use(
      'appending',
      APPEND_MS,
      either,
      async ({ own: appender }, alive) => await appender.append(records, identityNow ?? '', alive),
    );
  };

  const read = async (after: Position | undefined, limits: ReadLimits, signal: AbortSignal): Promise<readonly ReadRecord[]> =>
    await reading.use('reading', REQUEST_MS, until(signal), async ({ link }) => await reader.read(link, after, limits));

  const end = async (after: Position | undefined, signal: AbortSignal): Promise<LogEnd> =>
    await reading.use('looking for the end', REQUEST_MS, until(signal), async ({ link }) => await reader.end(link, after));

  /** AMQP 0.9.1 has no place for it. */
  const report = async (position: Position, signal: AbortSignal): Promise<void> => {
    checkAborted(until(signal), name);
    if (identityNow !== undefined) parsePosition(position, 'amqp', identityNow, name);
  };

  async function* hints(signal: AbortSignal): AsyncGenerator<void> {
    const either = AbortSignal.any([signal, closing.signal]);
    const wake = createWake();
    wakes.add(wake);
    try {
      while (!either.aborted) {
        yield;
        const over = new AbortController();
        const both = AbortSignal.any([either, over.signal]);
        const tick = clock.sleep(reader.isSubscribed() ? HINT_MS : HINT_UNSUBSCRIBED_MS, both).catch(() => {});
        await Promise.race([wake.wait(both), tick]);
        over.abort();
      }
    } finally {
      wakes.delete(wake);
    }
  }

  const identity = async (signal: AbortSignal): Promise<string> =>
    await reading.use(
      'asking for the first record',
      REQUEST_MS,
      until(signal),
      async ({ link }) => (await readHead(link, options)).identity,
    );

  const dispose = async (): Promise<void> => {
    closing.abort();
    await Promise.all([reading, writing].map((each) => each[Symbol.asyncDispose]()));
  };
  return { name, recordBytesMax: recordBytesMaxDefault, append, read, end, report, hints, identity, [Symbol.asyncDispose]: dispose };
}
