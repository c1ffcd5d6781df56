// What every operation of the stand-in works with, and the few rows that most of them look up.
import type { Clock } from '@docbus/runtime/clock.ts';
import type { Embedder } from '../embedder/index.ts';
import type { Database } from './database.ts';
import type { Effect } from './effects.ts';
import type { AppVectors } from './vectors.ts';

export type App = {
  readonly storageDir: string;
  readonly database: Database;
  readonly vectors: AppVectors;
  readonly embedder: Embedder;
  readonly clock: Pick<Clock, 'now' | 'random'>;
};

export type WorkspaceRow = { readonly id: number; readonly slug: string; readonly name: string; readonly openAiPrompt: string | null };
export type DocumentRow = {
  readonly id: number;
  readonly docId: string;
  readonly filename: string;
  readonly docpath: string;
  readonly workspaceId: number;
  readonly metadata: string | null;
};

const WORKSPACE = 'SELECT id, slug, name, openAiPrompt FROM workspaces';
export const DOCUMENT = 'SELECT id, docId, filename, docpath, workspaceId, metadata FROM workspace_documents';

export function allWorkspaces({ database }: App): WorkspaceRow[] {
  return database.attempt('list workspaces', () => database.all<WorkspaceRow>(`${WORKSPACE} ORDER BY id`), []);
}

export function findWorkspace({ database }: App, slug: string): WorkspaceRow | undefined {
  return database.attempt(`find workspace ${slug}`, () => database.get<WorkspaceRow>(`${WORKSPACE} WHERE slug = ?`, slug), undefined);
}

/** Throws as the API answers: 400 for a slug that is unknown, and for a database that cannot be read. */
export function requireWorkspace(app: App, slug: string): WorkspaceRow {
  const workspace = findWorkspace(app, slug);
  if (workspace === undefined) throw new Error(`400: no workspace ${slug}`);
  return workspace;
}

/** The first of what may be several rows of one document in one workspace. */
export function findDocument({ database }: App, workspaceId: number, docpath: string): DocumentRow | undefined {
  const find = (): DocumentRow | undefined =>
    database.get<DocumentRow>(`${DOCUMENT} WHERE docpath = ? AND workspaceId = ? ORDER BY id LIMIT 1`, docpath, workspaceId);
  return database.attempt(`find document ${docpath}`, find, undefined);
}

export function* logEvent(app: App, event: string, metadata: unknown = {}): Generator<Effect, void> {
  const { database, clock } = app;
  const row = { event, metadata: JSON.stringify(metadata), userId: null, occurredAt: clock.now() };
  yield* write(app, 'event logged', event, () => database.insert('event_logs', row));
}

/** Does what the original does about a failing write: nothing. True when it was written. */
export function* write({ database }: App, done: Effect['done'], to: string, work: () => void): Generator<Effect, boolean> {
  const written = database.attempt(
    `${done}: ${to}`,
    () => {
      work();
      return true;
    },
    false,
  );
  yield { done: written ? done : 'error swallowed', to };
  return written;
}

/** Records an error that the original only prints. */
export function* swallow({ database }: App, what: string, error: unknown): Generator<Effect, void> {
  database.attempt(
    what,
    () => {
      throw error;
    },
    undefined,
  );
  yield { done: 'error swallowed', to: what };
}
