// Does a docId hold the embedding that was published for its document? AnythingLLM fills each row from the cache as it was then, and
// nothing tells a row made from an earlier one, or from the same text cut with other settings. Two chunks of each are read back: their
// headers have the title and the date of the text, and where they begin and end tells how it was cut.
// This comes after publishing, when things are quiet: nobody who waits for an edit has to wait for our own Chroma.
import { isDocbusError, membershipKey, type Key, type Slug } from '@docbus/core';
import { idsHashOf, type Fill } from '@docbus/replica/manifest.ts';
import { requestMaterialise, type Context } from './context.ts';
import { recordedEmbedding, type WantedEmbedding } from './recorded.ts';

/** One look takes at most so many docIds. */
const LOOK_MAX = 200;
/** A Chroma that was away is asked again after this many settle times. */
const AWAY_PAUSES = 10;

type Sampled = {
  readonly fill: Fill;
  readonly key: Key;
  readonly slug: Slug;
  readonly wanted: WantedEmbedding;
  readonly ids: readonly string[];
};

/**
 * Samples fills that were noted as unsampled and have had time to settle; what holds another embedding is to be filled anew. Returns when to
 * look again (milliseconds of the clock). Throws `chroma_unreachable`; the notes stay.
 */
export async function checkSamples(context: Context, signal: AbortSignal): Promise<number | undefined> {
  const { replica, manifest, state, clock, settings } = context;
  const { records } = replica;
  const noted = manifest.unsampledFills(LOOK_MAX);
  if (noted.length === 0) {
    state.sampleAt = undefined;
    return undefined;
  }
  state.sampleAt ??= clock.now() + settings.settleMs;
  if (clock.now() < state.sampleAt) return state.sampleAt;
  state.sampleAt = clock.now() + AWAY_PAUSES * settings.settleMs;

  const docIds = noted.map(({ docId }) => docId);
  const rowOf = new Map(
    records.membershipsHolding(docIds).flatMap(({ slug, path, copies }) => copies.map(({ docId }) => [docId, { slug, path }] as const)),
  );
  const idsOf = records.vectorIds(docIds);
  const unknown = new Set<Fill>();
  const wrong = new Map<Fill, Key>();
  const sampled: Sampled[] = [];
  for (const fill of noted) {
    if (!isRecorded(context, fill)) continue;
    const row = rowOf.get(fill.docId);
    const wanted = row === undefined ? 'none' : recordedEmbedding(context, row.path);
    if (row === undefined || typeof wanted === 'string' || wanted.hash !== fill.hash) {
      unknown.add(fill);
      continue;
    }
    const { slug, path } = row;
    const key = membershipKey(slug, path);
    const ids = idsOf.get(fill.docId) ?? [];
    if (idsHashOf(ids) === fill.idsHash) sampled.push({ fill, key, slug, wanted, ids });
    else wrong.set(fill, key);
  }
  for (const [slug, group] of Map.groupBy(sampled, (one) => one.slug)) {
    const asked = group.flatMap(({ ids }) => chunksOf(ids.length).map((chunk) => ids[chunk]!));
    const found = await textsIn(context, slug, asked, signal);
    for (const { fill, key, wanted, ids } of group) {
      const { texts } = wanted.load();
      // As Chroma gives them back: it cannot hold half an emoji.
      if (chunksOf(ids.length).some((chunk) => found.get(ids[chunk]!) !== texts[chunk]?.toWellFormed())) wrong.set(fill, key);
    }
  }
  manifest.transaction(() => {
    for (const fill of noted) {
      // Something else may have been recorded of it while Chroma was asked.
      if (isRecorded(context, fill)) {
        const key = wrong.get(fill);
        if (key !== undefined) requestMaterialise(manifest, key);
        if (key !== undefined || unknown.has(fill)) manifest.dropFill(fill.docId);
      }
      manifest.dropUnsampledFill(fill);
    }
  });
  state.sampleAt = clock.now();
  return state.sampleAt;
}

function isRecorded({ manifest }: Context, { docId, hash, idsHash }: Fill): boolean {
  const fill = manifest.fill(docId);
  return fill?.hash === hash && fill.idsHash === idsHash;
}

/** The first chunk begins alike however a text is cut; what overlaps shows in the second, and everything before it moves the last. */
function chunksOf(count: number): readonly number[] {
  return count === 0 ? [] : count <= 2 ? [count - 1] : [1, count - 1];
}

async function textsIn(
  { replica: { vectors } }: Context,
  slug: Slug,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  try {
    const all = await vectors.fetch(slug, ids, signal);
    if (all !== undefined) return new Map(ids.map((id, i) => [id, all.texts[i]!]));
    // Some are not there: one more look tells which, however many.
    const present = await vectors.present(slug, ids, signal);
    const there = ids.filter((id) => present.has(id));
    const some = there.length === 0 ? undefined : await vectors.fetch(slug, there, signal);
    return new Map(some === undefined ? [] : there.map((id, i) => [id, some.texts[i]!]));
  } catch (error) {
    // What cannot be read from a Chroma that answers is filled again.
    if (signal.aborted || !isDocbusError(error) || error.code === 'chroma_unreachable') throw error;
    return new Map();
  }
}
