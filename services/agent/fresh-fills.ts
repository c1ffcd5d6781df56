// Vectors that we have just put beside an AnythingLLM that may be at work on the same document at that moment: it reads the ids of a
// document, talks to Chroma, and then removes rows, all without a lock. So what was filled is looked at once more when things are quiet:
// vectors whose row went away meanwhile are taken out again (no ghosts), and a document that holds more or less than it should is filled anew.
// new-vectors.ts notices what AnythingLLM adds later still; what it removes later still ends in a deletion, and is looked at once more then.
// They are noted in the manifest before they are sent: once their rows are gone, nothing else knows of them.
import {
  embeddingKey,
  membershipKey,
  parseKey,
  type Change,
  type EmbeddingContent,
  type Key,
  type MembershipContent,
  type Slug,
} from '@docbus/core';
import { idsHashOf, type FreshFill } from '@docbus/replica/manifest.ts';
import { requestMaterialise, type Context } from './context.ts';
import { vectorIdsOf } from './vector-ids.ts';

/** One pass over the tables serves this many documents. */
const LOOK_MAX = 500;
/** A step that has not ended by then may never come again: what is recorded is filled in instead. */
const LOOKS_MAX = 10;
/** So many are kept in mind; those that have settled make room for the rest. */
const FRESH_MAX = 2000;

/** Before vectors are sent. What was recorded of an earlier life of these docIds would vouch for ids that are in the table before their vectors are in Chroma. */
export function noteFresh({ manifest, state, clock }: Pick<Context, 'manifest' | 'state' | 'clock'>, fills: readonly FreshFill[]): void {
  if (fills.length === 0) return;
  manifest.transaction(() => {
    for (const fill of fills) {
      manifest.dropFill(fill.docId);
      manifest.putFreshFill(fill);
    }
  });
  for (const { docId } of fills) state.freshSince.set(docId, clock.now());
}

/**
 * Before a removal of copies by AnythingLLM is recorded: it took out the vectors whose ids it had read when it began. Ours may have come after
 * that, and their ids went with the row.
 */
export function noteRemoved(context: Context, changes: readonly Change[]): void {
  const { manifest } = context;
  const fills: FreshFill[] = [];
  for (const { key, content } of changes) {
    const parsed = parseKey(key);
    const entry = parsed.kind === 'membership' ? manifest.entry(key) : undefined;
    if (parsed.kind !== 'membership' || entry?.state !== 'present') continue;
    const embedding = manifest.entry(embeddingKey(parsed.path));
    if (embedding?.state !== 'present') continue;
    const { hash } = embedding;
    const { chunks } = embedding.content as EmbeddingContent;
    const left = new Set(((content ?? { copies: [] }) as MembershipContent).copies.map(({ docId }) => docId));
    for (const { docId } of (entry.content as MembershipContent).copies)
      if (!left.has(docId) && manifest.fill(docId)?.idsHash === idsHashOf(vectorIdsOf(docId, hash, chunks)))
        fills.push({ docId, key, hash, chunks });
  }
  noteFresh(context, fills);
}

/** Looks at the fills that have had time to settle. Returns when the next one will have. */
export async function checkFreshFills(context: Context, signal: AbortSignal): Promise<number | undefined> {
  const { replica, manifest, state, clock, settings } = context;
  const { records, vectors } = replica;
  const fresh = manifest.freshFills(FRESH_MAX);
  if (fresh.length === 0) return undefined;
  const settledAt = ({ docId }: FreshFill): number =>
    (state.freshSince.get(docId) ?? state.startedAt) + settings.settleMs * Math.min(1 + (state.freshLooks.get(docId) ?? 0), LOOKS_MAX);
  const due = fresh.filter((fill) => settledAt(fill) <= clock.now()).slice(0, LOOK_MAX);
  const looked = new Set(due);
  if (due.length > 0) {
    const rows = records.membershipsHolding(due.map(({ docId }) => docId));
    const held = new Set(rows.flatMap(({ slug, path, copies }) => copies.map(({ docId }) => placeOf(membershipKey(slug, path), docId))));
    const ids = records.vectorIds(due.map(({ docId }) => docId));
    const kept: { readonly fill: FreshFill; readonly slug: Slug; readonly sample: string }[] = [];
    const left: { readonly docId: string; readonly slug: Slug; readonly ids: readonly string[] }[] = [];
    const unfinished = new Set<FreshFill>();
    for (const fill of due) {
      const { docId, key, hash, chunks } = fill;
      const { slug } = parseKey(key) as { readonly slug: Slug };
      const ours = vectorIdsOf(docId, hash, chunks);
      const known = new Set(ids.get(docId) ?? []);
      const loose = ours.filter((id) => !known.has(id));
      if (held.has(placeOf(key, docId))) {
        await vectors.remove(slug, loose, signal);
        // Its own ids alone are AnythingLLM's own work; ours beside them, or none at all, are half of each.
        const pure = loose.length === 0 ? known.size === ours.length : loose.length === ours.length;
        if (known.size === 0 || !pure) requestMaterialise(manifest, key);
        else if (loose.length === 0 && ours[0] !== undefined) kept.push({ fill, slug, sample: ours[0] });
        // The step that sent them has not ended: should their rows go before it does, nothing but this note would know of them.
        if (loose.length < ours.length && manifest.fill(docId)?.idsHash !== idsHashOf(ours)) unfinished.add(fill);
      } else {
        left.push({ docId, slug, ids: ours });
      }
    }
    for (const [slug, some] of Map.groupBy(kept, (fill) => fill.slug)) await refillDropped(context, slug, some, signal);
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
    manifest.transaction(() => {
      for (const { docId } of left) manifest.dropFill(docId);
      for (const fill of due) if (!unfinished.has(fill)) manifest.dropFreshFill(fill);
    });
    const looks = new Map([...unfinished].map(({ docId }) => [docId, (state.freshLooks.get(docId) ?? 0) + 1]));
    for (const { docId } of due) {
      state.freshSince.delete(docId);
      state.freshLooks.delete(docId);
    }
    for (const [docId, count] of looks) {
      state.freshSince.set(docId, clock.now());
      state.freshLooks.set(docId, count);
    }
    for (const fill of unfinished) {
      if ((looks.get(fill.docId) ?? 0) % LOOKS_MAX === 0) requestMaterialise(manifest, fill.key);
      looked.delete(fill);
    }
  }
  return fresh.reduce<number | undefined>(
    (next, fill) => (looked.has(fill) ? next : Math.min(next ?? Infinity, settledAt(fill))),
    undefined,
  );
}

/** A reset of a workspace's vectors drops the collection last: what came after its rows had gone went with it. One vector of each tells. */
async function refillDropped(
  { replica: { vectors }, manifest }: Context,
  slug: Slug,
  fills: readonly { readonly fill: FreshFill; readonly sample: string }[],
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
    for (const { fill } of dropped) {
      manifest.dropFill(fill.docId);
      requestMaterialise(manifest, fill.key);
    }
  });
}

function placeOf(key: Key, docId: string): string {
  return `${key} ${docId}`;
}
