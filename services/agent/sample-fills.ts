// Does a docId hold the embedding that is being published for its document? AnythingLLM fills each row from the cache as it was then,
// and nothing tells a row made from an earlier one. One chunk of each is read back: its header has the title and the date of its text.
import { decodeEmbedding, embeddingKey, isDocbusError, type DocPath, type Key, type Slug } from '@docbus/core';
import { unpackPayload } from '@docbus/log/payload.ts';
import type { Outgoing } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';
import type { Observed, SeenFill } from './observe-fills.ts';

/** The same, with everything to be filled again of which one chunk is not the embedding's, or could not be read. */
export async function sampleFills(
  context: Context,
  { fills, refill }: Observed,
  outgoing: readonly Outgoing[],
  signal: AbortSignal,
): Promise<Observed> {
  const textsOf = openTexts(context, outgoing);
  const wrong = new Set<Key>(refill);
  for (const [slug, group] of Map.groupBy(fills, (fill) => fill.slug)) {
    const found = await firstTexts(context, slug, group, signal);
    for (const [index, { key, path, hash }] of group.entries()) {
      const text = found[index];
      if (text === undefined || textsOf(path, hash)?.has(text) !== true) wrong.add(key);
    }
  }
  return { fills: fills.filter(({ key }) => !wrong.has(key)), refill: [...wrong] };
}

async function firstTexts(
  { replica: { vectors } }: Context,
  slug: Slug,
  group: readonly SeenFill[],
  signal: AbortSignal,
): Promise<readonly (string | undefined)[]> {
  try {
    const samples = group.map(({ sample }) => sample);
    const all = await vectors.fetch(slug, samples, signal);
    if (all !== undefined) return all.texts;
    // Some are not there: one more look tells which, however many.
    const present = await vectors.present(slug, samples, signal);
    const there = samples.filter((sample) => present.has(sample));
    const some = there.length === 0 ? undefined : await vectors.fetch(slug, there, signal);
    const texts = new Map(there.map((sample, i) => [sample, some?.texts[i]]));
    return samples.map((sample) => texts.get(sample));
  } catch (error) {
    // What cannot be read now is filled again later; the changes are in the log already and must be recorded.
    if (signal.aborted || !isDocbusError(error)) throw error;
    return group.map(() => undefined);
  }
}

/** The chunk texts of the embedding with that hash: one that is on its way, or the recorded one. */
function openTexts(
  { manifest, settings }: Context,
  outgoing: readonly Outgoing[],
): (path: DocPath, hash: string) => ReadonlySet<string> | undefined {
  let last: { readonly path: DocPath; readonly texts: ReadonlySet<string> | undefined } | undefined;
  const load = (path: DocPath, hash: string): ReadonlySet<string> | undefined => {
    const key = embeddingKey(path);
    const sent = outgoing.find(({ change }) => change.key === key && change.hash === hash);
    const packed = sent?.packed ?? manifest.payload(key)?.packed;
    if (packed === undefined) return undefined;
    const { texts } = decodeEmbedding(unpackPayload(packed, { hash, bytesMax: settings.payloadBytesMax }));
    return new Set(texts.map((text) => text.toWellFormed()));
  };
  return (path, hash) => {
    if (last?.path !== path) last = { path, texts: load(path, hash) };
    return last.texts;
  };
}
