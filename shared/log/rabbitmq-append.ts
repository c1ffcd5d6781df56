// Appending to a stream: confirms in a window bounded in records and bytes. A record counts as appended when it is confirmed and was not
// handed back; RabbitMQ hands back before it confirms.
import type { ConfirmChannel } from 'amqplib';
import { DocbusError } from '@docbus/core';
import { recordBytes } from './bounds.ts';
import type { LogRecord } from './port.ts';
import { publishRecord, type StreamOptions } from './rabbitmq-stream.ts';

const WINDOW_RECORDS = 200;
const WINDOW_BYTES = 8 << 20;

export type RabbitAppender = { append(records: readonly LogRecord[], identity: string, alive: () => void): Promise<void> };

/** `prefix` makes message ids that nobody else has. */
export function createRabbitAppender(channel: ConfirmChannel, options: StreamOptions, prefix: string): RabbitAppender {
  const returned = new Set<string>();
  let count = 0;
  channel.on('return', ({ properties }) => void returned.add(String(properties.messageId)));

  const append = async (records: readonly LogRecord[], identity: string, alive: () => void): Promise<void> => {
    let waiting = 0;
    let bytes = 0;
    let problem: Error | undefined;
    let wake = Promise.withResolvers<void>();
    const change = async (): Promise<void> => {
      wake = Promise.withResolvers<void>();
      await wake.promise;
    };
    for (const record of records) {
      const size = recordBytes(record);
      while (problem === undefined && waiting > 0 && (waiting >= WINDOW_RECORDS || bytes + size > WINDOW_BYTES)) await change();
      if (problem !== undefined) break;
      waiting += 1;
      bytes += size;
      const messageId = `${prefix}/${(count += 1)}`;
      publishRecord(channel, options, record, { messageId, identity }, (error) => {
        waiting -= 1;
        bytes -= size;
        if (error instanceof Error) problem ??= error;
        else if (returned.delete(messageId)) problem ??= unroutable();
        else alive();
        wake.resolve();
      });
    }
    while (waiting > 0 && problem === undefined) await change();
    if (problem !== undefined) throw problem;
  };

  const unroutable = (): DocbusError =>
    new DocbusError(
      'log_busy',
      `RabbitMQ (${options.hosts.join(',')}) had no stream ${options.stream} to put a record into: it was deleted, or the broker is starting. It is tried again.`,
    );

  return { append };
}
