// wire: how many bytes a document's embedding takes in the log, keys, headers and CloudEvent included, for each byte of the
// vector-cache file that AnythingLLM has for it. Exact, so it is the same on every machine.
import { recordBytes } from '@docbus/log/bounds.ts';
import type { LogRecord } from '@docbus/log/port.ts';
import { cacheJson, createContent, createRandom, uuidOf } from './content.ts';
import { documentRecords } from './history.ts';
import { atMost, median, round, type Bench } from './outcome.ts';

const GOALS = [
  [384, 0.2],
  [1536, 0.17],
] as const;
const TYPICAL_CHUNKS = 20;
const CHUNKS = [1, 3, TYPICAL_CHUNKS, 300];

export const bench: Bench = {
  about: 'bytes in the log ÷ bytes of the vector-cache file',
  run: async ({ quick, say }) => {
    const figures: Record<string, unknown> = {};
    const goals = [];
    for (const [dimensions, most] of GOALS)
      for (const chunks of CHUNKS) {
        const { ratio, everything } = measure(dimensions, chunks, quick || chunks > 100 ? 2 : 10);
        figures[`embedding_${dimensions}_dims_${chunks}_chunks`] = round(ratio);
        figures[`with_document_and_membership_${dimensions}_dims_${chunks}_chunks`] = round(everything);
        say(
          `${dimensions} dims, ${String(chunks).padStart(3)} chunks: ${ratio.toFixed(3)} (with the document and its membership ${everything.toFixed(3)})`,
        );
        if (chunks === TYPICAL_CHUNKS) goals.push(atMost(`embedding of ${chunks} chunks of ${dimensions} dimensions`, ratio, most));
      }
    return { figures, goals };
  },
};

/** `everything`: all records of a document, over the cache and the document's own file. */
function measure(dimensions: number, chunks: number, documents: number): { readonly ratio: number; readonly everything: number } {
  const content = createContent(dimensions, chunks);
  const random = createRandom(7);
  const ratios: number[] = [];
  const everything: number[] = [];
  for (let i = 0; i < documents; i++) {
    const document = content.document(i, chunks);
    const cacheBytes = Buffer.byteLength(cacheJson(document.embedding, () => uuidOf(random)));
    const records = documentRecords(document);
    ratios.push(bytesOf(records.embedding) / cacheBytes);
    everything.push(bytesOf([...records.document, ...records.embedding, ...records.membership]) / (cacheBytes + document.bytes.length));
  }
  return { ratio: median(ratios), everything: median(everything) };
}

function bytesOf(records: readonly LogRecord[]): number {
  return records.reduce((sum, record) => sum + recordBytes(record), 0);
}
