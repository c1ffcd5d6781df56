// Documents in workspaces: adding, removing and pinning. Nothing asks whether a document is there already, and a removal takes the first row
// it finds; the row of workspace_documents is the last write of an embedding.
import { randomUuid } from '@docbus/runtime/clock.ts';
import { allWorkspaces, findDocument, logEvent, requireWorkspace, write, type App, type WorkspaceRow } from './app.ts';
import type { Steps } from './effects.ts';
import { readDocument } from './files.ts';
import { localTime } from './names.ts';
import { addToNamespace, removeFromNamespace } from './provider.ts';

export type Embedded = { readonly embedded: readonly string[]; readonly failed: readonly string[]; readonly errors: readonly string[] };

const NOTHING: Embedded = { embedded: [], failed: [], errors: [] };

/**
 * Removals first, then additions. The API answers 200 whatever became of the additions; what it keeps to itself is returned here.
 * Rejects (500) for a half-written document, and for removals while Chroma is down.
 */
export async function* updateEmbeddings(
  app: App,
  slug: string,
  { adds = [], deletes = [] }: { readonly adds?: readonly string[]; readonly deletes?: readonly string[] },
): Steps<Embedded> {
  const workspace = requireWorkspace(app, slug);
  yield* removeDocuments(app, workspace, deletes);
  return yield* addDocuments(app, workspace, adds);
}

export async function* addDocuments(app: App, workspace: WorkspaceRow, docpaths: readonly string[]): Steps<Embedded> {
  if (docpaths.length === 0) return NOTHING;
  const { database, clock } = app;
  const embedded: string[] = [];
  const failed: string[] = [];
  const errors = new Set<string>();
  for (const docpath of docpaths) {
    const data = yield* readDocument(app, docpath);
    if (data === undefined) continue;
    const docId = randomUuid(clock);
    const { pageContent: _pageContent, ...metadata } = data;
    const result = yield* addToNamespace(app, workspace.slug, { ...data, docId }, docpath);
    if (!result.vectorized) {
      failed.push(docpath);
      if (result.error !== null) errors.add(result.error);
      continue;
    }
    const filename = docpath.split(/[/\\]/).pop() ?? docpath;
    const now = clock.now();
    const inserted = yield* write(app, 'document row added', docpath, () => {
      const row = { docId, filename, docpath, workspaceId: workspace.id, metadata: JSON.stringify(metadata) };
      database.insert('workspace_documents', { ...row, createdAt: now, lastUpdatedAt: now, pinned: 0, watched: 0 });
    });
    if (inserted) embedded.push(docpath);
  }
  yield* logEvent(app, 'workspace_documents_added', { workspaceName: workspace.name, numberOfDocumentsAdded: docpaths.length });
  return { embedded, failed, errors: [...errors] };
}

export async function* removeDocuments(app: App, workspace: WorkspaceRow, docpaths: readonly string[]): Steps<void> {
  if (docpaths.length === 0) return;
  const { database } = app;
  for (const docpath of docpaths) {
    const document = findDocument(app, workspace.id, docpath);
    if (document === undefined) continue;
    yield { done: 'rows read', to: docpath };
    yield* removeFromNamespace(app, workspace.slug, document.docId);
    const removed = yield* write(app, 'document row removed', docpath, () => {
      const changes = database.run('DELETE FROM workspace_documents WHERE id = ? AND workspaceId = ?', document.id, workspace.id);
      if (changes === 0) throw new Error('The row to delete does not exist.');
    });
    if (removed)
      yield* write(app, 'vector rows removed', document.docId, () => {
        database.run('DELETE FROM document_vectors WHERE docId = ?', document.docId);
      });
  }
  yield* logEvent(app, 'workspace_documents_removed', { workspaceName: workspace.name, numberOfDocuments: docpaths.length });
}

/** One workspace after the other, in the order of their ids; the first failure ends it without a word. */
export async function* addToWorkspaces(app: App, slugs: readonly string[], docpath: string): Steps<void> {
  const wanted = new Set(slugs.map((slug) => slug.trim().toLowerCase()));
  for (const workspace of allWorkspaces(app).filter(({ slug }) => wanted.has(slug))) {
    const { failed } = yield* addDocuments(app, workspace, [docpath]);
    if (failed.length > 0) return;
  }
}

/** Of several rows, the first. Rejects (404) when there is none. */
export async function* pin(app: App, slug: string, docpath: string, pinned = true): Steps<void> {
  const workspace = requireWorkspace(app, slug);
  const document = findDocument(app, workspace.id, docpath);
  if (document === undefined) throw new Error(`404: ${docpath} is not in ${slug}`);
  yield* write(app, 'document row changed', docpath, () => {
    app.database.run('UPDATE workspace_documents SET pinned = ? WHERE id = ?', pinned ? 1 : 0, document.id);
  });
}

/** What an agent remembers: vectors and their rows, but no file, no cache and no row of a document. */
export async function* storeMemory(app: App, slug: string, text: string): Steps<boolean> {
  const { clock } = app;
  const workspace = requireWorkspace(app, slug);
  const memory = {
    docId: randomUuid(clock),
    id: randomUuid(clock),
    url: 'file://embed-via-agent.txt',
    title: 'agent-memory.txt',
    docAuthor: '@agent',
    description: 'Unknown',
    docSource: 'a text file stored by the workspace agent.',
    chunkSource: '',
    published: localTime(clock.now()),
    wordCount: text.split(' ').length,
    pageContent: text,
    token_count_estimate: 0,
  };
  return (yield* addToNamespace(app, workspace.slug, memory, null)).vectorized;
}
