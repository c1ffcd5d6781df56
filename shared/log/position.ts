// Positions of the drivers that number their records themselves: `<scheme>:<identity of the log>:<number>`.
import { DocbusError } from '@docbus/core';
import type { Position } from './port.ts';

export function formatPosition(scheme: string, identity: string, number: number): Position {
  return `${scheme}:${identity}:${number}` as Position;
}

/** The number in a position. Throws `log_recreated` unless the position was given out by the log of this identity. */
export function parsePosition(position: Position, scheme: string, identity: string, logName: string): number {
  const prefix = `${scheme}:${identity}:`;
  const number = position.startsWith(prefix) ? Number(position.slice(prefix.length)) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < 0)
    throw new DocbusError(
      'log_recreated',
      `The checkpoint ${position} belongs to another log than the one now at ${logName} (${identity}). This replica starts over from the first record and publishes what the log lacks.`,
    );
  return number;
}
