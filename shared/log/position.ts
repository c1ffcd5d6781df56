// Positions of the drivers that number their records themselves: `<scheme>:<identity of the log>:<number>:<mark>`. The mark says which
// record had the number, or in which stretch of the log's life it was given: a log that lost its tail gives the same numbers again.
import { DocbusError } from '@docbus/core';
import type { Position } from './port.ts';

/** `mark` '' where it is not known, and then it is not compared: an earlier docbus wrote positions without it. */
export type Place = { readonly number: number; readonly mark: string };

export function formatPosition(scheme: string, identity: string, { number, mark }: Place): Position {
  return `${scheme}:${identity}:${number}${mark === '' ? '' : `:${mark}`}` as Position;
}

/** Throws `log_recreated` unless the position was given out by the log of this identity. */
export function parsePosition(position: Position, scheme: string, identity: string, logName: string): Place {
  const prefix = `${scheme}:${identity}:`;
  const [digits = '', mark = ''] = position.startsWith(prefix) ? position.slice(prefix.length).split(':') : [];
  const number = /^\d+$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(number))
    throw new DocbusError(
      'log_recreated',
      `The checkpoint ${position} belongs to another log than the one now at ${logName} (${identity}). It has to be read from its first record.`,
    );
  return { number, mark };
}

/** The record of the position is not in the log any more, though the log was not cut off at its beginning. */
export function tailLost(logName: string, number: number, how: string): DocbusError {
  return new DocbusError(
    'log_tail_lost',
    `${logName} has lost records that had been read, up to record ${number}: ${how}. It has to be read again from its first record.`,
  );
}

/** A stretch of a log's life: numbers from `start` on were given in it, until the next one starts. */
export type Epoch = { readonly start: number; readonly id: string };

/** '' where the number is older than all epochs. `epochs` in order of `start`. */
export function epochOf(epochs: readonly Epoch[], number: number): string {
  return epochs.findLast(({ start }) => start <= number)?.id ?? '';
}
