// Does a docId hold the embedding that is being published for its document? AnythingLLM fills each row from the cache as it was then,
// and nothing tells a row made from an earlier one, or from the same text cut with other settings. Two chunks of each are read back:
// their headers have the title and the date of the text, and where they begin and end tells how it was cut.
import { decodeEmbedding, embeddingKey, isDocbusError, type DocPath, type Key, type Slug } from '@docbus/core';
import { unpackPayload } from '@docbus/log/payload.ts';
import type { Outgoing } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';
import type { Observed } from './observe-fills.ts';

/** The same, with everything to be filled again of which a chunk is not the embedding's, or could not be read. */
export async function sampleFills(
  context: Context,
  { fills, refill }: Observed,
  outgoing: readonly Outgoing[],
  signal: AbortSignal,
): Promise<Observed> {
  const textsOf = openTexts(context, outgoing);
  const wrong = new Set<Key>(refill);
  for (const [slug, group] of Map.groupBy(fills, (fill) => fill.slug)) {
    const samples = group.flatMap(({ key, path, hash, ids }) =>
      sampled(ids.length).map((chunk) => ({ key, path, hash, chunk, id: ids[chunk]! })),
    );
    const found = await textsIn(
      context,
      slug,
      samples.map(({ id }) => id),
      signal,
    );
    for (const [index, { key, path, hash, chunk }] of samples.entries()) {
      const text = found[index];
      if (text === undefined || textsOf(path, hash)?.[chunk] !== text) wrong.add(key);
    }
  }
  return { fills: fills.filter(({ key }) => !wrong.has(key)), refill: [...wrong] };
}

/** The first chunk begins alike however a text is cut; what overlaps shows in the second, and everything before it moves the last. */
function sampled(chunks: number): readonly number[] {
  return chunks === 0 ? [] : chunks <= 2 ? [chunks - 1] : [1, chunks - 1];
}

async function textsIn(
  { replica: { vectors } }: Context,
  slug: Slug,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<readonly (string | undefined)[]> {
  try {
    const all = await vectors.fetch(slug, ids, signal);
    if (all !== undefined) return all.texts;
    // Some are not there: one more look tells which, however many.
    const present = await vectors.present(slug, ids, signal);
    const there = ids.filter((id) => present.has(id));
    const some = there.length === 0 ? undefined : await vectors.fetch(slug, there, signal);
    const texts = new Map(there.map((id, i) => [id, some?.texts[i]]));
    return ids.map((id) => texts.get(id));
  } catch (error) {
    // What cannot be read now is filled again later; the changes are in the log already and must be recorded.
    if (signal.aborted || !isDocbusError(error)) throw error;
    return ids.map(() => undefined);
  }
}

/** The chunk texts of the embedding with that hash: one that is on its way, or the recorded one. */
function openTexts(
  { manifest, settings }: Context,
  outgoing: readonly Outgoing[],
): (path: DocPath, hash: string) => readonly string[] | undefined {
  let last: { readonly path: DocPath; readonly texts: readonly string[] | undefined } | undefined;
  const load = (path: DocPath, hash: string): readonly string[] | undefined => {
    const key = embeddingKey(path);
    const sent = outgoing.find(({ change }) => change.key === key && change.hash === hash);
    const packed = sent?.packed ?? manifest.payload(key)?.packed;
    if (packed === undefined) return undefined;
    const { texts } = decodeEmbedding(unpackPayload(packed, { hash, bytesMax: settings.payloadBytesMax }));
    return texts.map((text) => text.toWellFormed());
  };
  return (path, hash) => {
    if (last?.path !== path) last = { path, texts: load(path, hash) };
    return last.texts;
  };
}
