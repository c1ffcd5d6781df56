// Does a docId hold the embedding that was published for its document? AnythingLLM fills each row from the cache as it was then, and
// nothing tells a row made from an earlier one, or from the same text cut with other settings. Two chunks of each are read back: their
// headers have the title and the date of the text, and where they begin and end tells how it was cut.
// This comes when nothing is left to publish: no edit that is found waits for our own Chroma, and one that comes while it hangs waits ANSWER_MS_MAX.
import { DocbusError, isDocbusError, membershipKey, type DocPath, type Key, type Slug } from '@docbus/core';
import { idsHashOf, type Fill } from '@docbus/replica/manifest.ts';
import { compareUtf8 } from '@docbus/replica/order.ts';
import { requestMaterialise, type Context } from './context.ts';
import { emptied } from './materialise.ts';
import { isDatabaseReplaced } from './places.ts';
import { recordedEmbedding, type WantedEmbedding } from './recorded.ts';

/** One look takes at most so many docIds. */
const LOOK_MAX = 200;
/** A Chroma that did not answer is asked again after this many settle times. */
const AWAY_PAUSES = 60;
/** Reading two chunks of each takes milliseconds. Nothing else happens while a Chroma that hangs is waited for. */
const ANSWER_MS_MAX = 10_000;
/** One collection may be sick; where two cannot be read it is the server, and the others are left for later. */
const FAILURES_MAX = 2;

type Sampled = {
  readonly fill: Fill;
  readonly key: Key;
  readonly slug: Slug;
  readonly path: DocPath;
  readonly wanted: WantedEmbedding;
  readonly ids: readonly string[];
};

/**
 * Samples fills that were noted as unsampled and have had time to settle; what holds another embedding is to be filled anew. Returns when to
 * look again (milliseconds of the clock). Throws `chroma_unreachable` and `chroma_refused`: the notes of what could not be read stay.
 */
export async function checkSamples(context: Context, signal: AbortSignal): Promise<number | undefined> {
  const { replica, manifest, state, clock, settings } = context;
  const { records } = replica;
  let noted = manifest.unsampledFills(LOOK_MAX, state.sampleAfter);
  if (noted.length === 0 && state.sampleAfter !== '') noted = manifest.unsampledFills(LOOK_MAX, (state.sampleAfter = ''));
  if (noted.length === 0) {
    state.sampleAt = undefined;
    return undefined;
  }
  state.sampleAt ??= clock.now() + settings.settleMs;
  if (clock.now() < state.sampleAt) return state.sampleAt;
  // Asked again here: whoever publishes asked before it waited for Chroma.
  if (isDatabaseReplaced(context)) return (state.sampleAt = clock.now() + settings.settleMs);
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
    if (idsHashOf(ids) === fill.idsHash) sampled.push({ fill, key, slug, path, wanted, ids });
    else wrong.set(fill, key);
  }
  const unread = new Set<Fill>();
  const failures: DocbusError[] = [];
  for (const [slug, group] of Map.groupBy(sampled, (one) => one.slug)) {
    const asked = group.flatMap(({ ids }) => chunksOf(ids.length).map((chunk) => ids[chunk]!));
    const found = failures.length < FAILURES_MAX ? await textsIn(context, slug, asked, signal) : undefined;
    if (found === undefined || found instanceof DocbusError) {
      if (found !== undefined) failures.push(found);
      for (const { fill } of group) unread.add(fill);
      continue;
    }
    let loaded: { readonly path: DocPath; readonly texts: readonly string[] } | undefined;
    for (const { fill, key, path, wanted, ids } of group.toSorted((a, b) => compareUtf8(a.path, b.path))) {
      if (loaded?.path !== path) {
        await clock.breathe();
        loaded = { path, texts: wanted.load().texts };
      }
      const { texts } = loaded;
      // As Chroma gives them back: it cannot hold half an emoji.
      if (chunksOf(ids.length).some((chunk) => found.get(ids[chunk]!) !== texts[chunk]?.toWellFormed())) wrong.set(fill, key);
    }
  }
  manifest.transaction(() => {
    for (const fill of noted) {
      if (unread.has(fill)) continue;
      // Something else may have been recorded of it while Chroma was asked.
      if (isRecorded(context, fill)) {
        const key = wrong.get(fill);
        if (key !== undefined) requestMaterialise(manifest, key);
        // Not forgotten: vectors of which nothing is known are taken for those of an equal cache.
        if (key !== undefined || (unknown.has(fill) && rowOf.has(fill.docId))) manifest.putFill(emptied(fill.docId));
        else if (unknown.has(fill)) manifest.dropFill(fill.docId);
      }
      manifest.dropUnsampledFill(fill);
    }
  });
  if (failures[0] !== undefined) {
    // The next look is at others: however many notes one sick collection has, it holds up nothing but itself.
    state.sampleAfter = noted.at(-1)!.docId;
    throw failures[0];
  }
  // What is noted from now on has time to settle.
  state.sampleAt = noted.length < LOOK_MAX && state.sampleAfter === '' ? undefined : clock.now();
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

/** Texts by id, of what is there; or why they cannot be read for now. Throws where the agent stops. */
async function textsIn(
  { replica: { vectors } }: Context,
  slug: Slug,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string> | DocbusError> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS_MAX)]);
  try {
    const all = await vectors.fetch(slug, ids, within);
    if (all !== undefined) return new Map(ids.map((id, i) => [id, all.texts[i]!]));
    // Some are not there: one more look tells which, however many.
    const present = await vectors.present(slug, ids, within);
    const there = ids.filter((id) => present.has(id));
    const some = there.length === 0 ? undefined : await vectors.fetch(slug, there, within);
    return new Map(some === undefined ? [] : there.map((id, i) => [id, some.texts[i]!]));
  } catch (error) {
    if (signal.aborted || !isDocbusError(error)) throw error;
    if (within.aborted)
      return new DocbusError('chroma_unreachable', `Chroma does not answer within ${ANSWER_MS_MAX} ms; docbus tries again.`, {
        cause: error,
      });
    if (isDocbusError(error, 'chroma_unreachable', 'chroma_refused', 'aborted')) return error;
    // What cannot be read from a Chroma that answers is filled again.
    return new Map();
  }
}
