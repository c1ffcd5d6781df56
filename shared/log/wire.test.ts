import { test } from 'node:test';
import assert from 'node:assert/strict';
import { embeddingKey, encodeEmbedding, parseDocPath, sha256, type Change, type Embedding } from '@docbus/core';
import { recordBytes } from './bounds.ts';
import { recordsOf } from './codec.ts';
import { packPayload } from './payload.ts';

/** Mulberry32: the same numbers at every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Chunks as AnythingLLM makes them: its header and 800 characters of words as frequent as words are, and normalised vectors. */
function likeReal(dimensions: number, chunks: number): Embedding {
  const random = createRandom(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const words = Array.from({ length: 3000 }, () =>
    Array.from({ length: 2 + random() * 8 }, () => 'etaoinshrdlucmfwypvbgkjqxz'[Math.floor(random() ** 2 * 26)]).join(''),
  );
  const texts = Array.from({ length: chunks }, () => {
    let text = '<document_metadata>\nsourceDocument: Some document.md\npublished: 11/22/2026, 12:00:00 PM\n</document_metadata>\n\n';
    while (text.length < 910) text += `${words[Math.floor(random() ** 3 * words.length)]} `;
    return text;
  });
  const spread = Array.from({ length: dimensions }, () => Math.exp(0.3 * normal()));
  const rows = texts.map(() => {
    const row = spread.map((scale) => scale * normal());
    const length = Math.hypot(...row);
    return row.map((value) => value / length);
  });
  const metadata = {
    id: 'f676fede-bbf2-5ba9-b8e8-3f542b31b958',
    url: 'file:///app/collector/hotdir/some-document.md',
    title: 'some-document.md',
    docAuthor: 'Unknown',
    description: 'No description found.',
    docSource: 'a text file uploaded by the user.',
    chunkSource: 'localfile://some-document.md',
    published: '11/22/2026, 12:00:00 PM',
    wordCount: 5234,
    token_count_estimate: 7345,
  };
  return { dimensions, texts, metadatas: texts.map(() => metadata), vectors: Float32Array.from(rows.flat()) };
}

/** Bytes of AnythingLLM's cache file for the same embedding: its numbers are doubles that were float32s. */
function cacheBytes({ dimensions, texts, metadatas, vectors }: Embedding): number {
  const items = texts.map((text, i) => {
    const { id: _, ...metadata } = metadatas[i] ?? {};
    return {
      id: 'f676fede-bbf2-5ba9-b8e8-3f542b31b958',
      values: [...vectors.subarray(i * dimensions, (i + 1) * dimensions)],
      metadata: { ...metadata, text },
    };
  });
  return Buffer.byteLength(JSON.stringify([items]));
}

for (const [dimensions, goal] of [
  [384, 0.2],
  [1536, 0.17],
] as const)
  test(`an embedding of ${dimensions} dimensions takes at most ${goal} of its cache's bytes in the log, keys and headers included`, (t) => {
    const embedding = likeReal(dimensions, 20);
    const raw = encodeEmbedding(embedding);
    const change: Change = {
      key: embeddingKey(parseDocPath('custom-documents/some-document.md-f676fede-bbf2-5ba9-b8e8-3f542b31b958.json')),
      version: { revision: 1, replica: 'replica-1' },
      base: {},
      hash: sha256(raw),
      instance: 'f676fede-bbf2-4ba9-b8e8-3f542b31b958',
      time: 0,
      state: 'present',
      content: {
        fingerprint: { engine: 'native', model: 'Xenova/all-MiniLM-L6-v2', dimensions, chunkSize: 1000, chunkOverlap: 20 },
        chunks: 20,
        documentHash: sha256('document'),
      },
    };
    const wire = recordsOf(change, packPayload(raw)).reduce((sum, record) => sum + recordBytes(record), 0);
    const ratio = wire / cacheBytes(embedding);
    t.diagnostic(`${wire} bytes in the log, ${ratio.toFixed(4)} of the cache`);
    assert.ok(ratio <= goal, String(ratio));
  });
