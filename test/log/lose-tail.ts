// What a power cut does to a broker that acknowledges before it flushes: the end of the newest segment file is gone. To be called
// while the broker is dead. Returns how many records went, counted in the file itself.
import { globSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';

/** Records from this number on go; the first record of a log has the number 0. */
export type LostTail = { readonly from: number; readonly to: number };

/** A piece of a segment file that is written whole: a batch of Kafka's, a chunk of RabbitMQ's. */
type Piece = { readonly first: number; readonly last: number; readonly start: number };

/** Cuts a topic of one partition before the batch that holds the offset. `directory` is the one that startKafka was given. */
export function loseKafkaTail(directory: string, topic: string, offset: number): LostTail {
  return cut(join(directory, 'data', `${topic}-0`, '*.log'), kafkaPieces, offset);
}

/** Cuts a stream before the chunk that holds the offset. `directory` is the one that startRabbit was given. */
export function loseRabbitTail(directory: string, stream: string, offset: number): LostTail {
  return cut(join(directory, 'data', '*', 'stream', `__${stream}_*`, '*.segment'), rabbitPieces, offset);
}

/** The offset after the last record of a topic of one partition, as its files have it. */
export function kafkaEnd(directory: string, topic: string): number {
  return endOf(join(directory, 'data', `${topic}-0`, '*.log'), kafkaPieces);
}

export function rabbitEnd(directory: string, stream: string): number {
  return endOf(join(directory, 'data', '*', 'stream', `__${stream}_*`, '*.segment'), rabbitPieces);
}

function cut(pattern: string, piecesOf: (bytes: Buffer) => readonly Piece[], offset: number): LostTail {
  const file = newest(pattern);
  const pieces = piecesOf(readFileSync(file));
  const gone = pieces.find(({ last }) => last >= offset);
  const end = pieces.at(-1);
  if (gone === undefined || end === undefined) throw new Error(`${file} has no record ${offset}: it ends at ${end?.last}`);
  truncateSync(file, gone.start);
  return { from: gone.first, to: end.last };
}

function endOf(pattern: string, piecesOf: (bytes: Buffer) => readonly Piece[]): number {
  return (piecesOf(readFileSync(newest(pattern))).at(-1)?.last ?? -1) + 1;
}

function newest(pattern: string): string {
  const file = globSync(pattern).toSorted().at(-1);
  if (file === undefined) throw new Error(`there is no ${pattern}`);
  return file;
}

/** Base offset, length, and in the header the number of the last record: https://kafka.apache.org/documentation/#recordbatch */
function kafkaPieces(bytes: Buffer): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let start = 0; start + 61 <= bytes.length;) {
    const end = start + 12 + bytes.readInt32BE(start + 8);
    const first = Number(bytes.readBigInt64BE(start));
    if (end > bytes.length || end === start + 12) break;
    pieces.push({ first, last: first + bytes.readInt32BE(start + 23), start });
    start = end;
  }
  return pieces;
}

/** A chunk's header of 48 bytes, as osiris_log.erl describes it. */
function rabbitPieces(bytes: Buffer): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let start = 8; start + 48 <= bytes.length && bytes.readUInt8(start) >> 4 === 5;) {
    const end = start + 48 + bytes.readUInt32BE(start + 36) + bytes.readUInt32BE(start + 40);
    const first = Number(bytes.readBigUInt64BE(start + 24));
    if (end > bytes.length) break;
    pieces.push({ first, last: first + bytes.readUInt32BE(start + 4) - 1, start });
    start = end;
  }
  return pieces;
}
