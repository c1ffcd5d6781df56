// Vectors that we have just put beside an AnythingLLM that may be at work on the same document at that moment: it reads the ids of a
// document, talks to Chroma, and then removes rows, all without a lock. So what was filled is looked at once more when things are quiet:
// vectors whose row went away meanwhile are taken out again (no ghosts), and a document that holds more or less than it should is filled anew.
// new-vectors.ts notices what AnythingLLM adds later still; what it removes later still ends in a deletion, and is looked at once more then.
import { embeddingKey, parseKey, type Change, type DocPath, type EmbeddingContent, type MembershipContent, type Slug } from '@docbus/core';
import { idsHashOf } from '@docbus/replica/manifest.ts';
import { isBootstrapping, requestMaterialise, type Context, type FreshFill } from './context.ts';
import { vectorIdsOf } from './vector-ids.ts';

/** One pass over the tables serves this many documents. */
const LOOK_MAX = 500;

/** A replica that is being rebuilt is not yet used by people, and has too many to remember. */
export function noteFresh({ manifest, state, clock }: Context, docId: string, fill: Omit<FreshFill, 'since'>): void {
  if (!isBootstrapping(manifest)) state.freshFills.set(docId, { ...fill, since: clock.now() });
}

/**
 * Before a removal by AnythingLLM is recorded: it took out the vectors whose ids it had read when it began. Ours may have come after
 * that, and their ids went with the row.
 */
export function noteRemoved({ manifest, state, clock }: Context, changes: readonly Change[]): void {
  for (const { key, state: now } of changes) {
    const parsed = parseKey(key);
    const entry = now === 'deleted' && parsed.kind === 'membership' ? manifest.entry(key) : undefined;
    if (parsed.kind !== 'membership' || entry?.state !== 'present') continue;
    const { slug, path } = parsed;
    const embedding = manifest.entry(embeddingKey(path));
    if (embedding?.state !== 'present') continue;
    const { hash } = embedding;
    const { chunks } = embedding.content as EmbeddingContent;
    for (const { docId } of (entry.content as MembershipContent).copies)
      if (manifest.fill(docId)?.idsHash === idsHashOf(vectorIdsOf(docId, hash, chunks)))
        state.freshFills.set(docId, { key, slug, path, hash, chunks, since: clock.now() });
  }
}

/** Looks at the fills that have had time to settle. Returns when the next one will have. */
export async function checkFreshFills(context: Context, signal: AbortSignal): Promise<number | undefined> {
  const { replica, manifest, state, clock, settings } = context;
  const { records, vectors } = replica;
  if (state.freshFills.size === 0) return undefined;
  const due = [...state.freshFills].filter(([, { since }]) => clock.now() - since >= settings.settleMs).slice(0, LOOK_MAX);
  if (due.length > 0) {
    const rows = records.membershipsOf([...new Set(due.map(([, { path }]) => path))]);
    const held = new Set(rows.flatMap(({ slug, path, copies }) => copies.map(({ docId }) => placeOf(slug, path, docId))));
    const ids = records.vectorIds(due.map(([docId]) => docId));
    const kept: { readonly docId: string; readonly fill: FreshFill; readonly sample: string }[] = [];
    const left: { readonly docId: string; readonly slug: Slug; readonly ids: readonly string[] }[] = [];
    for (const [docId, fill] of due) {
      const { key, slug, path, hash, chunks } = fill;
      const ours = vectorIdsOf(docId, hash, chunks);
      const known = new Set(ids.get(docId) ?? []);
      const loose = ours.filter((id) => !known.has(id));
      if (held.has(placeOf(slug, path, docId))) {
        await vectors.remove(slug, loose, signal);
        // Its own ids alone are AnythingLLM's own work; ours beside them, or none at all, are half of each.
        const pure = loose.length === 0 ? known.size === ours.length : loose.length === ours.length;
        if (known.size === 0 || !pure) requestMaterialise(manifest, key);
        else if (loose.length === 0 && ours[0] !== undefined) kept.push({ docId, fill, sample: ours[0] });
      } else {
        left.push({ docId, slug, ids: ours });
      }
    }
    for (const [slug, some] of Map.groupBy(kept, ({ fill }) => fill.slug)) await refillDropped(context, slug, some, signal);
    for (const [slug, some] of Map.groupBy(left, (fill) => fill.slug)) {
      await vectors.remove(
        slug,
        some.flatMap(({ ids: ours }) => ours),
        signal,
      );
      // Adding may have made the collection of a deleted workspace anew.
      if (records.workspace(slug) === undefined && (await vectors.count(slug, signal)) === 0) await vectors.removeCollection(slug, signal);
    }
    records.removeVectorIds(left.flatMap(({ docId, ids: ours }) => ours.map((vectorId) => ({ docId, vectorId }))));
    manifest.transaction(() => left.forEach(({ docId }) => manifest.dropFill(docId)));
    for (const [docId, fill] of due) if (state.freshFills.get(docId) === fill) state.freshFills.delete(docId);
  }
  let next: number | undefined;
  for (const { since } of state.freshFills.values()) next = Math.min(next ?? Infinity, since + settings.settleMs);
  return next;
}

/** A reset of a workspace's vectors drops the collection last: what came after its rows had gone went with it. One vector of each tells. */
async function refillDropped(
  { replica: { vectors }, manifest }: Context,
  slug: Slug,
  fills: readonly { readonly docId: string; readonly fill: FreshFill; readonly sample: string }[],
  signal: AbortSignal,
): Promise<void> {
  const present = await vectors.present(
    slug,
    fills.map(({ sample }) => sample),
    signal,
  );
  const dropped = fills.filter(({ sample }) => !present.has(sample));
  if (dropped.length === 0) return;
  manifest.transaction(() => {
    for (const { docId, fill } of dropped) {
      manifest.dropFill(docId);
      requestMaterialise(manifest, fill.key);
    }
  });
}

function placeOf(slug: Slug, path: DocPath, docId: string): string {
  return `${slug}/${path}/${docId}`;
}
