// Settings with consequences: chunk sizes (the whole vector cache goes), and a change of embedder or vector store (everything goes but the files).
import { allWorkspaces, logEvent, write, type App } from './app.ts';
import type { Steps } from './effects.ts';
import { removeAllCaches } from './files.ts';
import { removeCollection } from './workspaces.ts';

export type ChunkSettings = { readonly size?: number; readonly overlap?: number };

/** Even when nothing changes, every field that is saved empties the cache once more. Embeddings stay as they are. */
export async function* saveChunkSettings(app: App, { size, overlap }: ChunkSettings): Steps<void> {
  const { database, clock } = app;
  const values: [string, number][] = [];
  if (size !== undefined) {
    if (size > 0) yield* removeAllCaches(app);
    values.push(['text_splitter_chunk_size', size > 0 ? size : 1000]);
  }
  if (overlap !== undefined) {
    if (overlap >= 0) yield* removeAllCaches(app);
    values.push(['text_splitter_chunk_overlap', overlap >= 0 ? overlap : 20]);
  }
  for (const [label, value] of values) {
    const now = clock.now();
    yield* write(app, 'setting saved', label, () => {
      database.run(
        'INSERT INTO system_settings (label, value, createdAt, lastUpdatedAt) VALUES (?, ?, ?, ?) ON CONFLICT (label) DO UPDATE SET value = excluded.value',
        label,
        String(value),
        now,
        now,
      );
    });
  }
}

/** What a change of embedder, model or vector store brings about. Documents stay. Answers 200 whatever failed. */
export async function* resetAllVectorStores(app: App): Steps<void> {
  const { database } = app;
  const workspaces = allWorkspaces(app);
  yield* removeAllCaches(app);
  yield* write(app, 'vector rows removed', 'all', () => void database.run('DELETE FROM document_vectors'));
  yield* write(app, 'document rows removed', 'all', () => void database.run('DELETE FROM workspace_documents'));
  yield* logEvent(app, 'workspace_vectors_reset', { reason: 'System vector configuration changed' });
  for (const { slug } of workspaces) yield* removeCollection(app, slug);
}
