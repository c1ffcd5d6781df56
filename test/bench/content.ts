// Documents and embeddings as real ones are in all that a bench measures: fields, sizes and how well they compress. The same in every run.
// Words are as frequent as words are, chunks have AnythingLLM's header, vectors have length 1 and dimensions of unlike spread.
import type { ChunkMetadata, DocPath, Embedding } from '@docbus/core';
import { parseDocPath } from '@docbus/core';

export type BenchDocument = {
  readonly path: DocPath;
  /** the file in documents/ as AnythingLLM writes it */
  readonly bytes: Uint8Array;
  readonly embedding: Embedding;
  /** of its row in workspace_documents */
  readonly docId: string;
};

export type Content = {
  readonly document: (index: number, chunks: number) => BenchDocument;
  /** paragraphs of about 800 characters */
  readonly text: (paragraphs: number) => string;
  /** as many unit vectors */
  readonly vectors: (count: number) => Float32Array;
};

const CHUNK_CHARACTERS = 800;

export function createContent(dimensions: number, seed = 1, chunkCharacters = CHUNK_CHARACTERS): Content {
  const random = createRandom(seed);
  const normal = createNormal(random);
  const words = Array.from({ length: 3000 }, () => wordOf(random));
  const spread = Array.from({ length: dimensions }, () => Math.exp(0.3 * normal()));

  const passage = (): string => {
    let text = '';
    while (text.length < chunkCharacters) text += `${words[Math.floor(random() ** 3 * words.length)]} `;
    return text.trimEnd();
  };
  const fillVectors = (chunks: number): Float32Array => {
    const vectors = new Float32Array(chunks * dimensions);
    for (let row = 0; row < chunks; row++) {
      let square = 0;
      for (let i = 0; i < dimensions; i++) {
        const value = (spread[i] as number) * normal();
        vectors[row * dimensions + i] = value;
        square += value * value;
      }
      const scale = 1 / Math.sqrt(square);
      for (let i = 0; i < dimensions; i++) (vectors[row * dimensions + i] as number) *= scale;
    }
    return vectors;
  };

  return {
    text: (paragraphs) => Array.from({ length: paragraphs }, passage).join('\n\n'),
    vectors: fillVectors,
    document(index, chunks) {
      const id = uuidOf(random);
      const name = `minutes-of-the-meeting-${index}.md`;
      const bodies = Array.from({ length: chunks }, passage);
      const pageContent = bodies.join('\n\n');
      const metadata: ChunkMetadata = {
        id,
        url: `file:///app/collector/hotdir/${name}`,
        title: name,
        docAuthor: 'Unknown',
        description: 'Unknown',
        docSource: 'a text file uploaded by the user.',
        chunkSource: `localfile://${name}`,
        published: '11/22/2026, 12:00:00 PM',
        wordCount: pageContent.split(' ').length,
        token_count_estimate: Math.round(pageContent.length / 4),
      };
      const header = `<document_metadata>\nsourceDocument: ${name}\npublished: 11/22/2026, 12:00:00 PM\n</document_metadata>\n\n`;
      const texts = bodies.map((body) => header + body);
      const { token_count_estimate, ...fields } = metadata;
      return {
        path: parseDocPath(`custom-documents/${name}-${id}.json`),
        bytes: Buffer.from(JSON.stringify({ ...fields, pageContent, token_count_estimate }, null, 4)),
        embedding: { dimensions, texts, metadatas: texts.map(() => metadata), vectors: fillVectors(chunks) },
        docId: uuidOf(random),
      };
    },
  };
}

/** The vector-cache file that AnythingLLM writes for the embedding: numbers are doubles that were float32s, batches have at most 500 items. */
export function cacheJson({ dimensions, texts, metadatas, vectors }: Embedding, idOf: (index: number) => string): string {
  const items = texts.map((text, index) => ({
    id: idOf(index),
    values: [...vectors.subarray(index * dimensions, (index + 1) * dimensions)],
    metadata: { ...metadatas[index], text },
  }));
  const batches = [];
  for (let from = 0; from < items.length; from += 500) batches.push(items.slice(from, from + 500));
  return JSON.stringify(batches);
}

/** Mulberry32 */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function uuidOf(random: () => number): string {
  const hex = Array.from({ length: 4 }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0'),
  ).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/** Box and Muller, both numbers of each pair. */
function createNormal(random: () => number): () => number {
  let spare: number | undefined;
  return () => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
}

function wordOf(random: () => number): string {
  return Array.from({ length: 2 + random() * 8 }, () => 'etaoinshrdlucmfwypvbgkjqxz'[Math.floor(random() ** 2 * 26)]).join('');
}
