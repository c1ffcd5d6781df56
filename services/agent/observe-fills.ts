// What AnythingLLM itself put into the collections for what is being published: a docId whose vector ids are new to us was filled
// by it with what its cache holds. One whose ids are the ones we know, or that has more or fewer than the embedding has chunks,
// holds an earlier embedding: an intent has it refilled.
import { embeddingKey, membershipKey, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { idsHashOf, type Fill } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';

/** `fills` are to be sampled; `refill` hold an earlier embedding for certain. */
export type Observed = { readonly fills: readonly Fill[]; readonly refill: readonly Key[] };

/** One pass over the tables, however many changes there are (neither docpath nor docId is indexed). */
export function observeFills({ replica: { records }, manifest }: Context, changes: readonly Change[]): Observed {
  const embeddings = new Map<DocPath, { readonly hash: string; readonly chunks: number }>();
  const memberships = new Map<Key, { readonly path: DocPath; readonly docIds: readonly string[]; readonly embedded: boolean }>();
  for (const change of changes) {
    const parsed = parseKey(change.key);
    if (change.state === 'deleted') continue;
    if (parsed.kind === 'embedding')
      embeddings.set(parsed.path, { hash: change.hash, chunks: (change.content as EmbeddingContent).chunks });
    else if (parsed.kind === 'membership' && 'copies' in change.content)
      memberships.set(change.key, {
        path: parsed.path,
        docIds: change.content.copies.map(({ docId }) => docId),
        embedded: false,
      });
  }
  const rows = embeddings.size === 0 ? [] : records.membershipsOf([...embeddings.keys()]);
  for (const { slug, path, copies } of rows)
    memberships.set(membershipKey(slug, path), { path, docIds: copies.map(({ docId }) => docId), embedded: true });
  const ids = memberships.size === 0 ? undefined : records.vectorIds([...memberships.values()].flatMap(({ docIds }) => docIds));

  const fills: Fill[] = [];
  const refill: Key[] = [];
  for (const [key, { path, docIds, embedded }] of memberships) {
    const embedding = embeddings.get(path) ?? recorded(manifest, path);
    if (embedding === undefined) continue;
    const seen = docIds.map((docId) => ({ docId, known: manifest.fill(docId), ids: ids?.get(docId) ?? [] }));
    // A row that nobody had published yet when its embedding was: nothing could be asked for it then.
    const fresh = embedded ? seen : seen.filter(({ known }) => known?.hash !== embedding.hash);
    const stale = fresh.some(
      (copy) =>
        copy.ids.length !== embedding.chunks ||
        (copy.known !== undefined && copy.known.hash !== embedding.hash && copy.known.idsHash === idsHashOf(copy.ids)),
    );
    if (stale) refill.push(key);
    else for (const copy of fresh) fills.push({ docId: copy.docId, hash: embedding.hash, idsHash: idsHashOf(copy.ids) });
  }
  // Rows that are missing only for the moment (their database is another one) would come back with an earlier embedding.
  for (const path of embeddings.keys())
    for (const { key, state } of manifest.membershipsOf(path)) if (state === 'present' && !memberships.has(key)) refill.push(key);
  return { fills, refill };
}

function recorded(manifest: Context['manifest'], path: DocPath): { readonly hash: string; readonly chunks: number } | undefined {
  const entry = manifest.entry(embeddingKey(path));
  return entry?.state === 'present' ? { hash: entry.hash, chunks: (entry.content as EmbeddingContent).chunks } : undefined;
}
