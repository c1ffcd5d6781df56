// Watched documents: a queue row for one document, and the hourly job that fetches its source again. The job replaces vectors, cache and file
// under the same docId, and touches no row that would tell.
import { allWorkspaces, DOCUMENT, findDocument, requireWorkspace, swallow, write, type App, type DocumentRow } from './app.ts';
import type { Effect, Steps } from './effects.ts';
import { overwriteDocument, readDocument } from './files.ts';
import { localTime } from './names.ts';
import { addToNamespace, removeFromNamespace } from './provider.ts';

const STALE_AFTER_MS = 604_800_000;
const FAILURES_MAX = 5;
const WATCHABLE = ['link', 'youtube', 'confluence', 'github', 'gitlab', 'gitea', 'drupalwiki'];

type Queue = { readonly id: number; readonly workspaceDocId: number; readonly staleAfterMs: number };

/** One queue row; the flag on every row with the same file name, in all workspaces. A second watch of one name does nothing. */
export async function* watch(app: App, slug: string, docpath: string): Steps<void> {
  const { database, clock } = app;
  const document = requireDocument(app, slug, docpath);
  const count = (): { queues: number } | undefined =>
    database.get(
      'SELECT count(*) AS queues FROM document_sync_queues WHERE workspaceDocId IN (SELECT id FROM workspace_documents WHERE filename = ? AND watched = 1)',
      document.filename,
    );
  if ((database.attempt(`read queues of ${docpath}`, count, undefined)?.queues ?? 0) > 0) return;
  const now = clock.now();
  const queued = yield* write(app, 'queue row added', docpath, () => {
    database.insert('document_sync_queues', {
      staleAfterMs: STALE_AFTER_MS,
      nextSyncAt: now + STALE_AFTER_MS,
      createdAt: now,
      lastSyncedAt: now,
      workspaceDocId: document.id,
    });
  });
  if (queued) yield* setWatched(app, document, true);
}

export async function* unwatch(app: App, slug: string, docpath: string): Steps<void> {
  yield* unwatchDocument(app, requireDocument(app, slug, docpath));
}

export type Resync = {
  /** What the source of a document says now; undefined when it cannot be fetched. */
  readonly fetch: (docpath: string) => string | undefined;
  /** queues that are due by this time (default: now) */
  readonly until?: number;
};

/** One run of the job. A watched document whose file is missing or half written ends it: the queues after it wait for the next run. */
export async function* resyncWatched(app: App, { fetch, until = app.clock.now() }: Resync): Steps<void> {
  const { database } = app;
  const read = (): Queue[] =>
    database.all<Queue>('SELECT id, workspaceDocId, staleAfterMs FROM document_sync_queues WHERE nextSyncAt <= ? ORDER BY id', until);
  for (const queue of database.attempt('read queues', read, [])) {
    const document = database.get<DocumentRow>(`${DOCUMENT} WHERE id = ?`, queue.workspaceDocId);
    if (document === undefined) continue;
    try {
      yield* resyncOnce(app, queue, document, fetch(document.docpath));
    } catch (error) {
      return yield* swallow(app, `re-sync ${document.docpath}`, error);
    }
  }
}

async function* resyncOnce(app: App, queue: Queue, document: DocumentRow, content: string | undefined): Steps<void> {
  const { clock } = app;
  const { docId, docpath, filename } = document;
  if (!isWatchable(document)) return yield* unwatchDocument(app, document);
  if (content === undefined || content === '') return yield* recordFailure(app, queue, document);
  const current = yield* readDocument(app, docpath);
  if (current === undefined) throw new Error(`${docpath} is missing`);
  if (current['pageContent'] === content) {
    yield* schedule(app, queue, docpath);
    return yield* recordRun(app, queue, 'exited', { filename, workspacesModified: [], reason: 'Content unchanged.' });
  }
  const published = localTime(clock.now());
  const renewed = { ...current, pageContent: content, docId, published };
  const slugs = new Map(allWorkspaces(app).map(({ id, slug }) => [id, slug]));
  const slug = slugs.get(document.workspaceId) ?? '';
  yield* removeFromNamespace(app, slug, docId);
  yield* addToNamespace(app, slug, renewed, docpath, true);
  yield* overwriteDocument(app, docpath, renewed);

  // Every other row with this file name, whatever its folder; it gets what the cache of its own path holds.
  const modified = [slug];
  for (const other of othersOf(app, document)) {
    const otherSlug = slugs.get(other.workspaceId) ?? '';
    modified.push(otherSlug);
    yield* removeFromNamespace(app, otherSlug, other.docId);
    yield* addToNamespace(app, otherSlug, { ...renewed, docId: other.docId }, other.docpath);
  }
  yield* schedule(app, queue, docpath);
  yield* recordRun(app, queue, 'success', { filename, workspacesModified: modified });
}

function othersOf({ database }: App, { id, filename }: DocumentRow): DocumentRow[] {
  const read = (): DocumentRow[] => database.all<DocumentRow>(`${DOCUMENT} WHERE id <> ? AND filename = ? ORDER BY id`, id, filename);
  return database.attempt(`read rows of ${filename}`, read, []);
}

function isWatchable({ metadata }: DocumentRow): boolean {
  if (metadata === null) return false;
  const { chunkSource } = JSON.parse(metadata) as { chunkSource?: unknown };
  return typeof chunkSource === 'string' && WATCHABLE.includes(chunkSource.slice(0, Math.max(0, chunkSource.indexOf('://'))));
}

/** After five failures in a row it is no longer watched. */
async function* recordFailure(app: App, queue: Queue, document: DocumentRow): Steps<void> {
  const { database } = app;
  const read = (): { status: string }[] =>
    database.all(
      'SELECT status FROM document_sync_executions WHERE queueId = ? ORDER BY createdAt DESC, id DESC LIMIT ?',
      queue.id,
      FAILURES_MAX,
    );
  const failures = database.attempt(`read runs of ${document.docpath}`, read, []).filter(({ status }) => status === 'failed').length;
  if (failures >= FAILURES_MAX) return yield* unwatchDocument(app, document);
  yield* recordRun(app, queue, 'failed', { filename: document.filename, workspacesModified: [], reason: 'No content found.' });
}

function* recordRun(app: App, queue: Queue, status: string, result: object): Generator<Effect, void> {
  yield* write(app, 'run row added', status, () => {
    const row = { queueId: queue.id, status, result: JSON.stringify(result), createdAt: app.clock.now() };
    app.database.insert('document_sync_executions', row);
  });
}

function* schedule(app: App, queue: Queue, docpath: string): Generator<Effect, void> {
  const now = app.clock.now();
  yield* write(app, 'queue row changed', docpath, () => {
    app.database.run(
      'UPDATE document_sync_queues SET lastSyncedAt = ?, nextSyncAt = ? WHERE id = ?',
      now,
      now + queue.staleAfterMs,
      queue.id,
    );
  });
}

function* unwatchDocument(app: App, document: DocumentRow): Generator<Effect, void> {
  yield* write(app, 'queue rows removed', document.docpath, () => {
    app.database.run(
      'DELETE FROM document_sync_queues WHERE workspaceDocId IN (SELECT id FROM workspace_documents WHERE filename = ? AND watched = 1)',
      document.filename,
    );
  });
  yield* setWatched(app, document, false);
}

function* setWatched(app: App, { docpath, filename }: DocumentRow, watched: boolean): Generator<Effect, void> {
  yield* write(app, 'document row changed', docpath, () => {
    app.database.run('UPDATE workspace_documents SET watched = ? WHERE filename = ?', watched ? 1 : 0, filename);
  });
}

function requireDocument(app: App, slug: string, docpath: string): DocumentRow {
  const document = findDocument(app, requireWorkspace(app, slug).id, docpath);
  if (document === undefined) throw new Error(`404: ${docpath} is not in ${slug}`);
  return document;
}
