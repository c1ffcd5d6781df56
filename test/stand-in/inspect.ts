// What a storage and its Chroma hold, for tests to look at and to compare: replicas that agree have equal `comparable` pictures.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkspaceContent } from '@docbus/core';
import type { App } from './app.ts';
import type { CachedVector } from './files.ts';
import { cacheName, collectionName } from './names.ts';
import { cacheDir, documentsDir } from './storage.ts';
import type { StoredVector } from './vectors.ts';

export type MembershipCopyPicture = { readonly docId: string; readonly pinned: boolean; readonly watched: boolean };

export type Inspection = {
  /** docpath → the bytes of the file */
  readonly documents: ReadonlyMap<string, Buffer>;
  /** docpath (or the file's own name, where no document or row has that path) → its chunks, or why they cannot be read */
  readonly caches: ReadonlyMap<string, readonly CachedVector[] | { readonly broken: string }>;
  /** slug → settings */
  readonly workspaces: ReadonlyMap<string, WorkspaceContent>;
  /** `<slug>/<docpath>` → its rows, sorted by docId */
  readonly memberships: ReadonlyMap<string, readonly MembershipCopyPicture[]>;
  /** docId → vector ids, sorted */
  readonly vectorIds: ReadonlyMap<string, readonly string[]>;
  /** slug (or the collection's name, where no workspace has it) → what Chroma holds, sorted by id */
  readonly collections: ReadonlyMap<string, readonly StoredVector[]>;
};

const SETTINGS = [
  'name',
  'openAiTemp',
  'openAiHistory',
  'openAiPrompt',
  'similarityThreshold',
  'chatModel',
  'topN',
  'chatMode',
  'chatProvider',
  'agentModel',
  'agentProvider',
  'queryRefusalResponse',
  'vectorSearchMode',
] as const satisfies readonly (keyof WorkspaceContent)[];

export async function inspect(app: App): Promise<Inspection> {
  const { database, vectors } = app;
  const documents = readDocuments(app.storageDir);
  const workspaces = database
    .all<WorkspaceContent & { slug: string }>(`SELECT slug, ${SETTINGS.join(', ')} FROM workspaces ORDER BY slug`)
    .map(({ slug, ...content }) => [slug, content] as const);
  const rows = database.all<MembershipRow>(
    'SELECT slug, docpath, docId, pinned, watched FROM workspace_documents JOIN workspaces ON workspaces.id = workspaceId ORDER BY slug, docpath, docId',
  );
  const memberships = Map.groupBy(rows, ({ slug, docpath }) => `${slug}/${docpath}`);
  const links = database.all<{ docId: string; vectorId: string }>('SELECT docId, vectorId FROM document_vectors ORDER BY docId, vectorId');
  const slugOf = new Map(workspaces.map(([slug]) => [collectionName(slug), slug]));
  const collections = (await vectors.collections()).toSorted((a, b) => compare(a.name, b.name));
  const contents = collections.map(async (collection) => {
    const all = await vectors.all(collection);
    return [slugOf.get(collection.name) ?? collection.name, all.toSorted((a, b) => compare(a.id, b.id))] as const;
  });
  return {
    documents,
    caches: readCaches(app.storageDir, [...documents.keys(), ...rows.map(({ docpath }) => docpath)]),
    workspaces: new Map(workspaces),
    memberships: new Map(
      [...memberships].map(([key, copies]) => [
        key,
        copies.map(({ docId, pinned, watched }) => ({ docId, pinned: pinned === 1, watched: watched === 1 })),
      ]),
    ),
    vectorIds: new Map([...Map.groupBy(links, ({ docId }) => docId)].map(([docId, own]) => [docId, own.map(({ vectorId }) => vectorId)])),
    collections: new Map(await Promise.all(contents)),
  };
}

type MembershipRow = { slug: string; docpath: string; docId: string; pinned: number | null; watched: number | null };

function readDocuments(storageDir: string): Map<string, Buffer> {
  const root = documentsDir(storageDir);
  const documents = new Map<string, Buffer>();
  for (const folder of foldersOf(root))
    for (const file of readdirSync(join(root, folder)).toSorted())
      if (file.endsWith('.json')) documents.set(`${folder}/${file}`, readFileSync(join(root, folder, file)));
  return documents;
}

function foldersOf(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => statSync(join(root, name)).isDirectory())
    .toSorted();
}

function readCaches(storageDir: string, docpaths: readonly string[]): Inspection['caches'] {
  const root = cacheDir(storageDir);
  const pathOf = new Map(docpaths.map((docpath) => [cacheName(docpath), docpath]));
  const names = existsSync(root) ? readdirSync(root).filter((name) => name.endsWith('.json')) : [];
  const caches = names.map((name) => [pathOf.get(name) ?? name, readCacheFile(join(root, name))] as const);
  return new Map(caches.toSorted(([a], [b]) => compare(a, b)));
}

function readCacheFile(file: string): readonly CachedVector[] | { readonly broken: string } {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as CachedVector[][]).flat();
  } catch (error) {
    return { broken: (error as Error).message };
  }
}

export type ComparableOptions = {
  /** decimals of each vector value; Chroma gives vectors back with a relative error of about 1e-7 (default 5) */
  readonly decimals?: number;
};

/**
 * An inspection without what may differ between replicas that agree: vector ids, watched flags, order. The texts and vectors of a
 * collection are told apart by content, so that a vector too many or a wrong one shows. Plain data for assert.deepEqual.
 */
export function comparable(inspection: Inspection, { decimals = 5 }: ComparableOptions = {}): unknown {
  const content = (text: unknown, values: readonly number[]): string => {
    const rounded = values.map((value) => (Math.round(value * 10 ** decimals) / 10 ** decimals || 0).toFixed(decimals));
    return `${String(text)} ${digest(rounded.join(' '))}`;
  };
  return {
    documents: mapValues(inspection.documents, digest),
    caches: mapValues(inspection.caches, (chunks) =>
      'broken' in chunks ? 'broken' : chunks.map(({ metadata, values }) => content(metadata['text'], values)),
    ),
    workspaces: mapValues(inspection.workspaces, (settings) => ({ ...settings })),
    memberships: mapValues(inspection.memberships, (copies) => copies.map(({ docId, pinned }) => ({ docId, pinned }))),
    vectorCounts: mapValues(inspection.vectorIds, (ids) => ids.length),
    collections: mapValues(inspection.collections, (stored) => stored.map(({ text, values }) => content(text, values)).toSorted(compare)),
  };
}

/** Ids that only one side knows: `ghosts` are in Chroma without a row of document_vectors, `missing` the other way round. */
export function strays(inspection: Inspection): { readonly ghosts: readonly string[]; readonly missing: readonly string[] } {
  const stored = new Set([...inspection.collections.values()].flat().map(({ id }) => id));
  const known = new Set([...inspection.vectorIds.values()].flat());
  return { ghosts: [...stored.difference(known)].toSorted(), missing: [...known.difference(stored)].toSorted() };
}

function mapValues<V, W>(map: ReadonlyMap<string, V>, change: (value: V) => W): Record<string, W> {
  return Object.fromEntries([...map].map(([key, value]) => [key, change(value)]));
}

function digest(value: string | Uint8Array): string {
  return createHash('sha256').update(value).digest('hex').slice(0, 16);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
