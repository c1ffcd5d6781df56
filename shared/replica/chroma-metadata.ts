// What Chroma takes as the metadata of a vector. Server 1.x refuses a whole request for one null, nested or empty-keyed value,
// so what it would refuse is left out, the same on every replica and whatever the server's version.
import type { VectorBatch } from './port.ts';

export type ChromaMetadata = Readonly<Record<string, string | number | boolean>>;

/**
 * Texts, finite numbers and booleans under keys that Chroma takes. Null means "no such key" to Chroma; lists are taken by newer
 * servers only, and AnythingLLM's documents have none. Lone surrogates become U+FFFD.
 */
export function chromaMetadata(metadata: VectorBatch['metadatas'][number]): ChromaMetadata {
  const taken: [string, string | number | boolean][] = [];
  for (const [name, value] of Object.entries(metadata)) {
    // '#', '$' and 'chroma:' are the server's own.
    if (name === '' || /^(?:[#$]|chroma:)/.test(name)) continue;
    const key = name.toWellFormed();
    if (typeof value === 'string') taken.push([key, value.toWellFormed()]);
    else if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) taken.push([key, value]);
  }
  return Object.fromEntries(taken);
}
