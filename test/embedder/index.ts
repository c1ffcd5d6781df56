// A small local embedder for tests, demo and benches. No model is downloaded and nothing is learned: words and pieces of words are hashed
// into a vector, so texts that share rare words are near each other. Deterministic: the same text has the same vector on every machine.
import { createHash } from 'node:crypto';

export type EmbedderCalls = {
  /** requests for documents, and the chunks in them */
  readonly requests: number;
  readonly chunks: number;
  /** questions embedded for a search */
  readonly queries: number;
};

export type Embedder = {
  readonly engine: string;
  readonly model: string;
  readonly dimensions: number;
  /** characters that one chunk may have */
  readonly maxChunkLength: number;
  /** the counts so far */
  readonly calls: EmbedderCalls;
  /** One unit vector per text. */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]>;
  embedQuery(text: string): Promise<Float32Array>;
};

export type EmbedderOptions = {
  /** default 384 */
  readonly dimensions?: number;
  /** names the model, and shifts every vector: two embedders with different names do not agree (default `words-1`) */
  readonly model?: string;
  /** default 1000, as most of AnythingLLM's engines have it */
  readonly maxChunkLength?: number;
};

export function createEmbedder(options: EmbedderOptions = {}): Embedder {
  const { dimensions = 384, model = 'words-1', maxChunkLength = 1_000 } = options;
  const seed = createHash('sha256').update(model).digest().readUInt32LE();
  const calls = { requests: 0, chunks: 0, queries: 0 };
  return {
    engine: 'test',
    model,
    dimensions,
    maxChunkLength,
    calls,
    embed: async (texts) => {
      calls.requests++;
      calls.chunks += texts.length;
      return texts.map((text) => embedText(text, dimensions, seed));
    },
    embedQuery: async (text) => {
      calls.queries++;
      return embedText(text, dimensions, seed);
    },
  };
}

const WORD = /[\p{L}\p{N}]+/gu;
/** Words that say nothing about a text, and those of the header that AnythingLLM puts on every chunk. */
const EMPTY = new Set(
  (
    'a about after all also an and any are as at be been but by can do does for from had has have he her his how i if in into is it its may ' +
    'more most no not of on one only or other our she should so some such than that the their them then there these they this those to under up ' +
    'was we were what when where which while who whose why will with would you your document_metadata document metadata sourcedocument published am pm'
  ).split(' '),
);
/** Beginnings and pieces of a word count less than the word: they find inflections and misspellings, but more words share them. */
const WEIGHTS = { word: 1, beginning: 0.9, piece: 0.25 } as const;
const PIECE_LENGTH = 4;
/** Each feature lands in this many places, so that two that collide in one differ in another. */
const PLACES = 2;

/** The unit vector of a text. A text without words has a vector too, since stores refuse a zero vector under cosine. */
export function embedText(text: string, dimensions: number, seed = 0): Float32Array {
  const features = new Map<string, { count: number; readonly weight: number }>();
  const add = (feature: string, weight: number): void => {
    const known = features.get(feature);
    if (known === undefined) features.set(feature, { count: 1, weight });
    else known.count++;
  };
  for (const [word] of text.toLowerCase().matchAll(WORD)) {
    if (EMPTY.has(word)) continue;
    add(word, WEIGHTS.word);
    add(`<${word.slice(0, PIECE_LENGTH)}`, WEIGHTS.beginning);
    for (let start = 1; start + PIECE_LENGTH <= word.length; start++) add(`~${word.slice(start, start + PIECE_LENGTH)}`, WEIGHTS.piece);
  }
  if (features.size === 0) add(`=${text}`, WEIGHTS.word);

  const vector = new Float64Array(dimensions);
  for (const [feature, { count, weight }] of features) {
    const strength = weight * (1 + Math.log(count)); // the tenth mention of a word says little that the first did not
    let hash = hashOf(feature, seed);
    for (let place = 0; place < PLACES; place++) {
      const index = hash % dimensions;
      vector[index] = (vector[index] ?? 0) + (hash & 0x80000000 ? strength : -strength);
      hash = hashOf(feature, hash);
    }
  }
  const length = Math.hypot(...vector);
  if (length === 0) vector[seed % dimensions] = 1; // every feature met its opposite: possible in very few dimensions
  return Float32Array.from(vector, (value) => (length === 0 ? value : value / length));
}

/** FNV-1a over UTF-16 units, with a final mix so that neighbours do not stay neighbours; unsigned. */
function hashOf(text: string, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39) >>> 0;
  return (hash ^ (hash >>> 15)) >>> 0;
}
