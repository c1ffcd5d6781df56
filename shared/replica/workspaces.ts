// Rows of AnythingLLM's `workspaces`: the settings that are replicated, and only those.
import type { DatabaseSync } from 'node:sqlite';
import { canonicalJson, parseSlug, isDocbusError, type Slug, type WorkspaceContent } from '@docbus/core';

/** Does not compile where a setting of WorkspaceContent is missing. */
const replicated = {
  name: true,
  openAiTemp: true,
  openAiHistory: true,
  openAiPrompt: true,
  similarityThreshold: true,
  chatModel: true,
  topN: true,
  chatMode: true,
  chatProvider: true,
  agentModel: true,
  agentProvider: true,
  queryRefusalResponse: true,
  vectorSearchMode: true,
} as const satisfies Record<keyof WorkspaceContent, true>;
const settings = Object.keys(replicated) as (keyof WorkspaceContent)[];

const columns = settings.join(', ');

export function readWorkspaces(database: DatabaseSync): { slug: Slug; content: WorkspaceContent }[] {
  const rows = database.prepare(`select slug, ${columns} from workspaces order by slug`).all();
  return rows.flatMap(({ slug, ...content }) => {
    const parsed = slugOf(String(slug));
    return parsed === undefined ? [] : [{ slug: parsed, content: contentOf(content) }];
  });
}

export function readWorkspace(database: DatabaseSync, slug: Slug): WorkspaceContent | undefined {
  const row = database.prepare(`select ${columns} from workspaces where slug = ?`).get(slug);
  return row === undefined ? undefined : contentOf(row);
}

/** Inserts, or updates the replicated settings alone: ids, picture, router and dates of a row stay this replica's own. */
export function writeWorkspace(database: DatabaseSync, slug: Slug, content: WorkspaceContent, now: number): void {
  const there = readWorkspace(database, slug);
  if (there !== undefined && canonicalJson(there) === canonicalJson(content)) return;
  const values = settings.map((setting) => content[setting]);
  if (there !== undefined) {
    database.prepare(`update workspaces set ${settings.map((setting) => `${setting} = ?`).join(', ')} where slug = ?`).run(...values, slug);
    return;
  }
  // Prisma stores dates as integer milliseconds; a text date would sort after all of them.
  const date = BigInt(Math.trunc(now));
  database
    .prepare(`insert into workspaces (slug, createdAt, lastUpdatedAt, ${columns}) values (?, ?, ?, ${settings.map(() => '?').join(', ')})`)
    .run(slug, date, date, ...values);
}

export function workspaceIds(database: DatabaseSync): ReadonlyMap<string, number> {
  const rows = database.prepare('select slug, id from workspaces').all();
  return new Map(rows.map((row) => [String(row['slug']), Number(row['id'])]));
}

/** undefined for a slug that cannot be replicated. */
export function slugOf(text: string): Slug | undefined {
  try {
    return parseSlug(text);
  } catch (error) {
    if (isDocbusError(error, 'path_refused')) return undefined;
    throw error;
  }
}

/** A row without its null prototype, in the order of the settings. */
function contentOf(row: Record<string, unknown>): WorkspaceContent {
  return Object.fromEntries(settings.map((setting) => [setting, row[setting] ?? null])) as WorkspaceContent;
}
