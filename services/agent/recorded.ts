// What is recorded, out of the manifest's own copy of its payload.
import {
  decodeEmbedding,
  DocbusError,
  embeddingKey,
  isDocbusError,
  type DocPath,
  type Embedding,
  type EmbeddingContent,
} from '@docbus/core';
import { unpackPayload } from '@docbus/log/payload.ts';
import type { Recorded } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';

/** The embedding that rows of a document are to hold. `load` is called at most once per materialise, when its vectors are needed. */
export type WantedEmbedding = { readonly hash: string; readonly chunks: number; readonly load: () => Embedding };

/**
 * The payload of a present document or embedding, unpacked. Throws `manifest_corrupt` where the copy is gone or damaged: it is in the log
 * and on this replica's disk, and neither must be filled from a copy that is not what was recorded.
 */
export function recordedPayload({ manifest, settings }: Pick<Context, 'manifest' | 'settings'>, { key, hash }: Recorded): Uint8Array {
  const payload = manifest.payload(key);
  if (payload === undefined) throw manifest.damaged(new DocbusError('payload_corrupt', `The payload of ${key} is missing.`));
  try {
    return unpackPayload(payload.packed, { hash, bytesMax: settings.payloadBytesMax });
  } catch (error) {
    throw isDocbusError(error, 'payload_corrupt') ? manifest.damaged(error) : error;
  }
}

export function recordedEmbedding(context: Context, path: DocPath): WantedEmbedding | 'none' | 'deleted' | 'blocked' {
  const { manifest } = context;
  const key = embeddingKey(path);
  const entry = manifest.entry(key);
  if (entry?.state !== 'present') return manifest.quarantinedOf(key).length > 0 ? 'blocked' : entry === undefined ? 'none' : 'deleted';
  return {
    hash: entry.hash,
    chunks: (entry.content as EmbeddingContent).chunks,
    load: () => decodeEmbedding(recordedPayload(context, entry)),
  };
}
