// Rows of document_vectors that came after a docId's vectors were recorded: AnythingLLM read the ids of a document, was overtaken by
// our refill (or by a person's other click), and put its own vectors beside ours. However late they come, their ids are new ones, and
// AnythingLLM gives greater ids to later rows; so each look needs only the rows that it has not seen.
import { embeddingKey, membershipKey, type EmbeddingContent } from '@docbus/core';
import { idsHashOf } from '@docbus/replica/manifest.ts';
import type { MembershipRow } from '@docbus/replica/port.ts';
import { requestMaterialise, type Context } from './context.ts';
import { noteFresh } from './fresh-fills.ts';
import { vectorIdsOf } from './vector-ids.ts';

/** Asks for everything to be filled again that holds other vectors than were recorded. Rows of unknown docIds are for publish to see. */
export function noticeNewVectors(context: Pick<Context, 'replica' | 'manifest' | 'state' | 'clock'>): void {
  const {
    replica: { records },
    manifest,
  } = context;
  const before = Number(manifest.meta(SEEN) ?? 0);
  let seen = before;
  const grown: string[] = [];
  for (let more = true; more;) {
    const rows = records.vectorIdsAfter(seen);
    seen = rows.last;
    more = rows.more;
    for (const [docId, ids] of rows.ids) {
      const fill = manifest.fill(docId);
      if (fill !== undefined && fill.idsHash !== idsHashOf(ids)) grown.push(docId);
    }
  }
  if (seen === before) return;
  // A fill may have come in two slices, or again in part after a crash: all of its rows decide.
  const all = grown.length === 0 ? undefined : records.vectorIds(grown);
  const changed = grown.filter((docId) => manifest.fill(docId)?.idsHash !== idsHashOf(all?.get(docId) ?? []));
  const memberships = records.membershipsHolding(changed);
  noteReplaced(context, memberships);
  manifest.transaction(() => {
    // A membership that is not published yet is looked at when it is, where nothing is known of its docIds.
    for (const docId of changed) manifest.dropFill(docId);
    for (const { slug, path } of memberships) requestMaterialise(manifest, membershipKey(slug, path));
    manifest.setMeta(SEEN, String(seen));
  });
}

/** Vectors of ours whose ids went with rows that AnythingLLM has replaced: it removes from Chroma only what it had read before. */
function noteReplaced(context: Pick<Context, 'manifest' | 'state' | 'clock'>, memberships: readonly MembershipRow[]): void {
  const { manifest } = context;
  noteFresh(
    context,
    memberships.flatMap(({ slug, path, copies }) => {
      const embedding = manifest.entry(embeddingKey(path));
      if (embedding?.state !== 'present') return [];
      const { hash } = embedding;
      const { chunks } = embedding.content as EmbeddingContent;
      return copies.flatMap(({ docId }) =>
        manifest.fill(docId)?.idsHash === idsHashOf(vectorIdsOf(docId, hash, chunks))
          ? [{ docId, key: membershipKey(slug, path), hash, chunks }]
          : [],
      );
    }),
  );
}

/** Up to which id the rows of document_vectors were looked at. */
const SEEN = 'vector_rows';
