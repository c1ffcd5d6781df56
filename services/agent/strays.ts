// Vectors that an earlier life of this agent added for rows that never came: it died in between, and what it was about to do is not
// asked for any more. Their ids tell them from AnythingLLM's own (see vector-ids.ts), so nothing has to be remembered to find them.
import { parseKey, type Slug } from '@docbus/core';
import type { Context } from './context.ts';

/** Before anything is applied in this life, and once more when a bootstrap has ended. */
export async function clearStrays(
  { replica, manifest, state, logger }: Pick<Context, 'replica' | 'manifest' | 'state' | 'logger'>,
  signal: AbortSignal,
): Promise<void> {
  if (state.straysCleared) return;
  const { records, vectors } = replica;
  const strays = records.strayVectorIds();
  if (strays.length > 0) {
    const ids = strays.map(({ vectorId }) => vectorId);
    // Whose they were is not known any more; an id that is not there is no error. A workspace that is gone may have been alive when they
    // were added, which made its collection anew, and it may come back.
    const slugs = new Set<Slug>(records.workspaces().map(({ slug }) => slug));
    for (const { key } of manifest.entries()) {
      const parsed = parseKey(key);
      if (parsed.kind === 'workspace') slugs.add(parsed.slug);
    }
    for (const slug of slugs) {
      await vectors.remove(slug, ids, signal);
      if (records.workspace(slug) === undefined && (await vectors.count(slug, signal)) === 0) await vectors.removeCollection(slug, signal);
    }
    records.removeVectorIds(strays);
    for (const { docId } of strays) manifest.dropFill(docId);
    logger.info({ vectors: strays.length }, 'removed vectors whose documents never came');
  }
  state.straysCleared = true;
}
