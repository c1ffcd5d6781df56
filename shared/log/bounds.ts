// What every driver checks in the same words before it touches its product.
import { DocbusError } from '@docbus/core';
import type { LogRecord } from './port.ts';

/** What Kafka takes unless told otherwise is 1 MiB with its own framing; our parts are half of that. */
export const recordBytesMaxDefault = 1_000_000;

/** Key, value and headers as they count towards a limit. */
export function recordBytes(record: LogRecord): number {
  let bytes = Buffer.byteLength(record.key) + (record.value?.length ?? 0);
  for (const name in record.headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(record.headers[name] ?? '');
  return bytes;
}

/** Throws `record_too_large` for the first record that is over the limit; to be called before anything is sent. */
export function checkRecordSizes(records: readonly LogRecord[], recordBytesMax: number, logName: string): void {
  for (const record of records) {
    const bytes = recordBytes(record);
    if (bytes > recordBytesMax)
      throw new DocbusError(
        'record_too_large',
        `A record of ${record.key.slice(0, 120)} has ${bytes} bytes; ${logName} takes ${recordBytesMax}. Nothing was appended.`,
      );
  }
}

/** Throws `aborted` where the signal has. */
export function checkAborted(signal: AbortSignal, logName: string): void {
  if (signal.aborted) throw new DocbusError('aborted', `Work on ${logName} was stopped.`, { cause: signal.reason });
}
