// Workspaces: creating, changing, deleting, and emptying one. Deleting goes table by table without a transaction: a document that is added
// meanwhile keeps the workspace's row alive, and nobody is told.
import { randomUuid } from '@docbus/runtime/clock.ts';
import type { Slug, WorkspaceContent } from '@docbus/core';
import { findWorkspace, logEvent, requireWorkspace, swallow, write, type App } from './app.ts';
import type { Effect, Steps } from './effects.ts';
import { randomInteger, workspaceSlug } from './names.ts';
import { removeNamespace } from './provider.ts';

/** Stands for the default prompt that the original fills in. */
export const DEFAULT_PROMPT = 'Answer the question from the context and the conversation so far.';

/** Values as a request may send them: the original mends what is out of range. */
export type WorkspaceFields = Partial<{ -readonly [Field in keyof WorkspaceContent]: WorkspaceContent[Field] }> & {
  router_id?: number | null;
};

/** The slug follows from the name: with 8 random digits where it is taken, a UUID where nothing is left of the name. */
export async function* createWorkspace(app: App, name: string, fields: Omit<WorkspaceFields, 'name'> = {}): Steps<Slug> {
  const { database, clock } = app;
  if (name === '') throw new Error('400: a workspace without a name');
  let slug = workspaceSlug(name);
  if (slug === '') slug = randomUuid(clock);
  if (findWorkspace(app, slug) !== undefined) slug = workspaceSlug(`${name}-${randomInteger(clock, 10_000_000, 99_999_999)}`);
  yield { done: 'rows read', to: slug };
  const prompt =
    fields.openAiPrompt === undefined || fields.openAiPrompt === null || fields.openAiPrompt === '' ? DEFAULT_PROMPT : fields.openAiPrompt;
  const row = { ...DEFAULTS, name: mend.name(name), ...mendFields({ ...fields, openAiPrompt: prompt }), slug };
  const now = clock.now();
  const created = yield* write(app, 'workspace row added', slug, () => {
    database.insert('workspaces', { ...row, createdAt: now, lastUpdatedAt: now });
  });
  if (!created) throw new Error(`400: the workspace ${slug} could not be created`);
  yield* logEvent(app, 'api_workspace_created', { workspaceName: row.name });
  return slug as Slug;
}

/** Only the columns named; the slug never changes, and `lastUpdatedAt` is not kept. */
export async function* updateWorkspace(app: App, slug: string, fields: WorkspaceFields): Steps<void> {
  const workspace = requireWorkspace(app, slug);
  const updates = mendFields(fields);
  if (updates['chatProvider'] === 'default') Object.assign(updates, { chatProvider: null, chatModel: null });
  if (updates['chatProvider'] === 'anythingllm-router') updates['chatModel'] = null;
  else if (updates['chatProvider'] !== undefined && updates['chatProvider'] !== null) updates['router_id'] = null;
  const columns = Object.keys(updates);
  if (columns.length === 0) return;
  const updated = yield* write(app, 'workspace row changed', slug, () => {
    const sql = `UPDATE workspaces SET ${columns.map((column) => `${column} = ?`).join(', ')} WHERE id = ?`;
    app.database.run(sql, ...Object.values(updates), workspace.id);
  });
  if (!updated) throw new Error(`500: the workspace ${slug} could not be changed`);
}

/** Documents and caches stay. Answers 200 whatever failed. */
export async function* deleteWorkspace(app: App, slug: string): Steps<void> {
  const { id, name } = requireWorkspace(app, slug);
  const { database } = app;
  yield* write(app, 'chat rows removed', slug, () => void database.run('DELETE FROM workspace_chats WHERE workspaceId = ?', id));
  yield* removeAllRows(app, id, slug);
  yield* write(app, 'workspace row removed', slug, () => void database.run('DELETE FROM workspaces WHERE id = ?', id));
  yield* logEvent(app, 'api_workspace_deleted', { workspaceName: name });
  yield* removeCollection(app, slug);
}

/** Takes everything out of one workspace; files and caches stay. */
export async function* resetWorkspaceVectors(app: App, slug: string): Steps<void> {
  const { id, name } = requireWorkspace(app, slug);
  yield* removeAllRows(app, id, slug);
  yield* logEvent(app, 'workspace_vectors_reset', { workspaceName: name });
  yield* removeCollection(app, slug);
}

function* removeAllRows(app: App, workspaceId: number, slug: string): Generator<Effect, void> {
  const { database } = app;
  const read = (): { docId: string }[] => database.all('SELECT docId FROM workspace_documents WHERE workspaceId = ?', workspaceId);
  const docIds = database.attempt(`read documents of ${slug}`, read, []).map(({ docId }) => docId);
  yield { done: 'rows read', to: slug };
  yield* write(app, 'vector rows removed', slug, () => {
    database.run('DELETE FROM document_vectors WHERE docId IN (SELECT value FROM json_each(?))', JSON.stringify(docIds));
  });
  yield* write(
    app,
    'document rows removed',
    slug,
    () => void database.run('DELETE FROM workspace_documents WHERE workspaceId = ?', workspaceId),
  );
}

/** The collection may be missing and Chroma may be down: neither is told. */
export async function* removeCollection(app: App, slug: string): Steps<void> {
  try {
    yield* removeNamespace(app, slug);
  } catch (error) {
    yield* swallow(app, `remove the collection of ${slug}`, error);
  }
}

const DEFAULTS = { openAiHistory: 20, similarityThreshold: 0.25, topN: 4, chatMode: 'automatic', vectorSearchMode: 'default' };

type Column = string | number | null;
const text = (value: unknown): Column => (typeof value === 'string' && value !== '' ? value : null);
const provider = (value: unknown): Column => (value === 'none' ? null : text(value));
const number = (value: unknown): number | undefined => {
  const parsed = typeof value === 'number' ? value : Number.parseFloat(String(value));
  return value === null || value === undefined || Number.isNaN(parsed) ? undefined : parsed;
};
const whole = (value: unknown): number | undefined => {
  const parsed = number(value);
  return parsed === undefined ? undefined : Math.trunc(parsed);
};
const oneOf = (value: unknown, allowed: readonly string[], otherwise: string): Column =>
  typeof value === 'string' && allowed.includes(value) ? value : otherwise;

const mend: { readonly [Field in keyof Required<WorkspaceFields>]: (value: unknown) => Column } = {
  name: (value) => (typeof value === 'string' && value !== '' ? value.slice(0, 255) : 'My Workspace'),
  openAiTemp: (value) => {
    const parsed = number(value);
    return parsed === undefined || parsed < 0 ? null : parsed;
  },
  openAiHistory: (value) => Math.max(0, whole(value) ?? 20),
  openAiPrompt: text,
  similarityThreshold: (value) => Math.min(1, Math.max(0, number(value) ?? 0.25)),
  chatModel: text,
  topN: (value) => Math.max(1, whole(value) ?? 4),
  chatMode: (value) => oneOf(value, ['chat', 'query', 'automatic'], 'automatic'),
  chatProvider: provider,
  agentModel: text,
  agentProvider: provider,
  queryRefusalResponse: text,
  vectorSearchMode: (value) => oneOf(value, ['default', 'rerank'], 'default'),
  router_id: (value) => (value === '' || value === 'none' ? null : (number(value) ?? null)),
};

/** Known columns only, mended. */
function mendFields(fields: WorkspaceFields): Record<string, Column> {
  const known = Object.entries(fields).filter(([column, value]) => column in mend && value !== undefined);
  return Object.fromEntries(known.map(([column, value]) => [column, mend[column as keyof WorkspaceFields](value)]));
}
