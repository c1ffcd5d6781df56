// Parts: pieces of a packed payload that is too large for its change's record. They precede their change in the log, under
// `part/<change key>/<hash>/<n>`, as plain bytes. Whoever supersedes a payload drops the parts of the older one.
import { DocbusError, kindOf, parseKey, type Key } from '@docbus/core';
import type { LogRecord } from './port.ts';

/** Half of what Kafka takes unless told otherwise. */
export const PART_BYTES = 512 * 1024;
/** 32 GiB; only a bound for what a reader believes. */
export const PARTS_MAX = 65_536;

/** Up to here a packed document travels inside its change: one record instead of two, readable with any JSON tool. */
export const DOCUMENT_INLINE_BYTES = 32 * 1024;
/** Base64 adds a third, and embeddings are most of the log's bytes: only where a second record would cost more do they travel inside. */
export const EMBEDDING_INLINE_BYTES = 1024;

const PREFIX = 'part/';
const partPattern = /^part\/(.+)\/([0-9a-f]{64})\/(0|[1-9][0-9]{0,4})$/s;

/** How many parts the packed payload of a key takes; 0 where it travels inside the change. */
export function partsOf(key: Key, packedBytes: number): number {
  const inline = kindOf(key) === 'embedding' ? EMBEDDING_INLINE_BYTES : DOCUMENT_INLINE_BYTES;
  return packedBytes <= inline ? 0 : Math.ceil(packedBytes / PART_BYTES);
}

export function partRecords(key: Key, hash: string, packed: Uint8Array): LogRecord[] {
  return Array.from({ length: partsOf(key, packed.length) }, (_, index) =>
    partRecord({ key, hash, index }, packed.subarray(index * PART_BYTES, (index + 1) * PART_BYTES)),
  );
}

export function partRecord({ key, hash, index }: PartName, bytes: Uint8Array): LogRecord {
  return { key: partKey(key, hash, index), value: bytes, headers: { 'content-type': 'application/zstd' } };
}

/** Null values for the parts of a payload that nothing names any more. */
export function dropParts(key: Key, hash: string, parts: number): LogRecord[] {
  return Array.from({ length: parts }, (_, index) => ({ key: partKey(key, hash, index), value: null, headers: {} }));
}

export function isPartKey(key: string): boolean {
  return key.startsWith(PREFIX);
}

export type PartName = { readonly key: Key; readonly hash: string; readonly index: number };

/** Throws `record_malformed`, or `path_refused` for the key of a change that leaves its directory. */
export function parsePartKey(text: string): PartName {
  const [, key, hash, index] = partPattern.exec(text) ?? [];
  if (key === undefined || hash === undefined || Number(index) >= PARTS_MAX)
    throw new DocbusError('record_malformed', `${JSON.stringify(text.slice(0, 200))} is not the key of a part (part/<key>/<sha256>/<n>).`);
  return { key: parseKey(key).key, hash, index: Number(index) };
}

function partKey(key: Key, hash: string, index: number): string {
  return `${PREFIX}${key}/${hash}/${index}`;
}
