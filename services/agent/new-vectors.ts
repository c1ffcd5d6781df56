// Rows of document_vectors that came after a docId's vectors were recorded: AnythingLLM read the ids of a document, was overtaken by
// our refill (or by a person's other click), and put its own vectors beside ours. However late they come, their ids are new ones, and
// AnythingLLM gives greater ids to later rows; so each look needs only the rows that it has not seen.
import { membershipKey } from '@docbus/core';
import { idsHashOf } from '@docbus/replica/manifest.ts';
import { requestMaterialise, type Context } from './context.ts';

/** Asks for everything to be filled again that holds other vectors than were recorded. Rows of unknown docIds are for publish to see. */
export function noticeNewVectors({ replica: { records }, manifest }: Pick<Context, 'replica' | 'manifest'>): void {
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
  manifest.transaction(() => {
    // A membership that is not published yet is looked at when it is, where nothing is known of its docIds.
    for (const docId of changed) manifest.dropFill(docId);
    for (const { slug, path } of memberships) requestMaterialise(manifest, membershipKey(slug, path));
    manifest.setMeta(SEEN, String(seen));
  });
}

/** Up to which id the rows of document_vectors were looked at. */
const SEEN = 'vector_rows';
