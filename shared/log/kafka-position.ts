// Where a reader is in a Kafka topic, and which records belong together in one partition.
import { createHash } from 'node:crypto';
import { DocbusError } from '@docbus/core';
import type { Position } from './port.ts';

/**
 * The next offset to read, and of the record before it the leader's epoch and a mark that no other record has. An epoch of -1 and a
 * mark of '' are not known, and are not compared.
 */
export type KafkaPlace = { readonly offset: bigint; readonly epoch: number; readonly mark: string };

/** Where to read on in each partition. A partition that is not there is read from its first record. */
export type KafkaOffsets = ReadonlyMap<number, KafkaPlace>;

/** `kafka:<topic id>:0=12@3~rs.0.11,1=7@3~rs.0.5`; an earlier docbus wrote `0=12,1=7` */
export function formatKafkaPosition(topicId: string, offsets: KafkaOffsets): Position {
  let text = `kafka:${topicId}:`;
  for (const [partition, { offset, epoch, mark }] of offsets)
    text += `${text.endsWith(':') ? '' : ','}${partition}=${offset}${epoch < 0 || mark === '' ? '' : `@${epoch}~${mark}`}`;
  return text as Position;
}

const PLACES = /^(\d+=\d+(@\d+~[\w.]+)?(,(?=\d)|$))*$/;

/** Throws `log_recreated` where the position is of another topic, or of another product altogether. */
export function parseKafkaPosition(position: Position, topicId: string, logName: string): KafkaOffsets {
  const [scheme, id, list] = position.split(':');
  if (scheme !== 'kafka' || id !== topicId || list === undefined || !PLACES.test(list))
    throw new DocbusError(
      'log_recreated',
      `The position ${position} belongs to another log than ${logName} is now (topic id ${topicId}): the topic was made anew. It has to be read from its first record.`,
    );
  const pairs = list.split(',').filter(Boolean);
  return new Map(
    pairs
      .map((pair) => pair.split(/[=@~]/))
      .map(([partition, offset, epoch = -1, mark = '']) => [
        Number(partition),
        { offset: BigInt(offset ?? 0), epoch: Number(epoch), mark },
      ]),
  );
}

/**
 * Everything about one document goes into one partition, so that it is read in the order it was appended: its own changes, its embedding's,
 * its memberships' and their parts. A sealed key says which belong together in its second segment.
 */
export function partitionOf(key: string, partitions: number): number {
  if (partitions === 1) return 0;
  return createHash('sha256').update(groupOf(key)).digest().readUInt32BE(0) % partitions;
}

export function groupOf(key: string): string {
  const segments = key.split('/');
  const change = segments[0] === 'part' ? segments.slice(1, -2) : segments; // part/<change key>/<sha256>/<n>
  switch (change[0]) {
    case 'document':
    case 'embedding':
      return change.slice(1).join('/');
    case 'membership':
      return change.slice(2).join('/');
    case 'sealed':
      return change[1] ?? '';
    default:
      return change.join('/');
  }
}
