// The embedding that is recorded for a document, out of the manifest's own copy of its payload.
import { decodeEmbedding, DocbusError, embeddingKey, type DocPath, type EmbeddingContent } from '@docbus/core';
import { unpackPayload } from '@docbus/log/payload.ts';
import type { Context } from './context.ts';
import type { WantedEmbedding } from './materialise.ts';

export function recordedEmbedding({ manifest, settings }: Context, path: DocPath): WantedEmbedding | 'none' | 'deleted' | 'blocked' {
  const key = embeddingKey(path);
  const entry = manifest.entry(key);
  if (entry?.state !== 'present') return manifest.quarantinedOf(key).length > 0 ? 'blocked' : entry === undefined ? 'none' : 'deleted';
  return {
    hash: entry.hash,
    chunks: (entry.content as EmbeddingContent).chunks,
    load: () => {
      const payload = manifest.payload(key);
      if (payload === undefined)
        throw new DocbusError('payload_corrupt', `The stored embedding of ${path} is missing; run \`docbus rebuild\`.`);
      return decodeEmbedding(unpackPayload(payload.packed, { hash: entry.hash, bytesMax: settings.payloadBytesMax }));
    },
  };
}
