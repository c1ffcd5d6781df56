// Vectors that an earlier life of this agent added for rows that never came: it died in between, and what it was about to do is not
// asked for any more. Their ids tell them from AnythingLLM's own (see vector-ids.ts), so nothing has to be remembered to find them.
import type { Context } from './context.ts';

/** Before anything is applied in this life, and once more when a bootstrap has ended. */
export async function clearStrays({ replica, manifest, state, logger }: Context, signal: AbortSignal): Promise<void> {
  if (state.straysCleared) return;
  const { records, vectors } = replica;
  const strays = records.strayVectorIds();
  if (strays.length > 0) {
    const ids = strays.map(({ vectorId }) => vectorId);
    // Whose they were is not known any more; an id that is not there is no error.
    for (const { slug } of records.workspaces()) await vectors.remove(slug, ids, signal);
    records.removeVectorIds(strays);
    for (const { docId } of strays) manifest.dropFill(docId);
    logger.info({ vectors: strays.length }, 'removed vectors whose documents never came');
  }
  state.straysCleared = true;
}
