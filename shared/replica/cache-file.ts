// The JSON of one vector-cache file as AnythingLLM's Chroma provider has it: an array of batches of at most 500 of
// { id, values, metadata: { …the file's fields, text } }. Other providers' caches have other shapes and are not read.
import { writeSync } from 'node:fs';
import type { ChunkMetadata, Embedding } from '@docbus/core';
import { floatTextBytesMax, writeFloats } from './float-text.ts';

const BATCH = 500;
/** Nothing larger fits into one JavaScript string, in AnythingLLM as here. */
export const cacheBytesMax = 512 * 1024 * 1024 - 64;
const WRITE_BYTES = 1 << 20;
/** About what a chunk takes beside its vector. */
const CHUNK_BYTES = 6_000;

export type ParsedCache = { readonly embedding: Embedding } | { readonly reason: string };

/** The embedding in a cache's bytes, or why they are none (perhaps not yet: AnythingLLM writes in place). */
export function parseCache(bytes: Buffer): ParsedCache {
  if (bytes.length === 0) return { reason: 'it is empty' };
  let batches: unknown;
  try {
    batches = JSON.parse(bytes.toString('utf8'));
  } catch {
    return { reason: 'it is not complete JSON' };
  }
  if (!Array.isArray(batches) || !batches.every(Array.isArray)) return { reason: 'it is not a list of batches' };
  const items: readonly unknown[] = batches.flat();
  const first = items[0];
  if (!isItem(first)) return { reason: items.length === 0 ? 'it holds no vectors' : 'its items are not those of the Chroma provider' };

  const dimensions = first.values.length;
  const vectors = new Float32Array(items.length * dimensions);
  const texts: string[] = [];
  const metadatas: ChunkMetadata[] = [];
  let shared: { json: string; metadata: ChunkMetadata } | undefined;
  for (const [index, item] of items.entries()) {
    if (!isItem(item)) return { reason: `its item ${index} is not one of the Chroma provider` };
    if (item.values.length !== dimensions)
      return { reason: `its item ${index} has ${item.values.length} dimensions, the first has ${dimensions}` };
    if (!fill(vectors, index * dimensions, item.values)) return { reason: `its item ${index} has a value that is no number of 32 bits` };
    const { text, ...metadata } = item.metadata;
    texts.push(text);
    const json = JSON.stringify(metadata);
    if (shared?.json !== json) shared = { json, metadata };
    metadatas.push(shared.metadata);
  }
  return { embedding: { dimensions, texts, metadatas, vectors } };
}

type Item = { readonly values: readonly unknown[]; readonly metadata: Readonly<Record<string, unknown>> & { readonly text: string } };

function isItem(value: unknown): value is Item {
  if (value === null || typeof value !== 'object' || !('values' in value) || !('metadata' in value)) return false;
  const { values, metadata } = value;
  if (!Array.isArray(values) || values.length === 0) return false;
  return (
    metadata !== null && typeof metadata === 'object' && !Array.isArray(metadata) && 'text' in metadata && typeof metadata.text === 'string'
  );
}

/** False where a value is no finite float32. */
function fill(vectors: Float32Array, offset: number, values: readonly unknown[]): boolean {
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (typeof value !== 'number') return false;
    vectors[offset + index] = value;
    if (!Number.isFinite(vectors[offset + index])) return false;
  }
  return true;
}

/** Writes the JSON into an open file, piece by piece: a cache may be larger than is good to hold at once. */
export function writeCache(file: number, embedding: Embedding, ids: readonly string[]): void {
  const { dimensions, texts, metadatas, vectors } = embedding;
  if (ids.length !== texts.length) throw new RangeError(`${ids.length} ids for ${texts.length} chunks`);
  const vectorBytes = dimensions * floatTextBytesMax;
  // As much as it will need, up to a limit: large buffers by the thousand keep the garbage collector busy.
  const buffer = Buffer.allocUnsafe(Math.max(Math.min(WRITE_BYTES, texts.length * (vectorBytes + CHUNK_BYTES)), vectorBytes));
  let used = 0;
  const flush = (): void => {
    for (let written = 0; written < used;) written += writeSync(file, buffer, written, used - written);
    used = 0;
  };
  const put = (text: string): void => {
    const bytesMax = text.length * 3;
    if (bytesMax > buffer.length) {
      flush();
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
      return;
    }
    if (used + bytesMax > buffer.length) flush();
    used += buffer.write(text, used);
  };

  let shared: { metadata: ChunkMetadata; json: string } | undefined;
  put('[');
  for (const [index, text] of texts.entries()) {
    const metadata = metadatas[index] ?? {};
    if (shared?.metadata !== metadata) shared = { metadata, json: fieldsOf(metadata) };
    put(index % BATCH === 0 ? (index === 0 ? '[' : '],[') : ',');
    put(`{"id":${JSON.stringify(ids[index])},"values":[`);
    if (used + vectorBytes > buffer.length) flush();
    used = writeFloats(buffer, used, vectors, index * dimensions, (index + 1) * dimensions);
    put(`],"metadata":{${shared.json}"text":${JSON.stringify(text)}}}`);
  }
  put(texts.length === 0 ? ']' : ']]');
  flush();
}

/** The fields as JSON, each followed by a comma. A field named text gives way to the chunk's, as it does in AnythingLLM. */
function fieldsOf(metadata: ChunkMetadata): string {
  const { text: _, ...fields } = metadata;
  const json = JSON.stringify(fields);
  return json === '{}' ? '' : `${json.slice(1, -1)},`;
}
