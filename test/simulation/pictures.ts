// What is really on a simulated machine: files, rows and vectors, read past the agent and past the application.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { contentHash, membershipKey, sha256, workspaceKey, type DocPath, type Key, type MembershipCopy, type Slug } from '@docbus/core';

export const BROKEN = 'broken';

/** sha256 of a document, or BROKEN where it is not one JSON object (yet); undefined where there is no file. */
export function documentHash(file: string): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  return isObject(bytes) ? sha256(bytes) : BROKEN;
}

function isObject(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** docpath → hash or BROKEN */
export function documentsOn(storageDir: string): Map<DocPath, string> {
  const root = join(storageDir, 'documents');
  const found = new Map<DocPath, string>();
  if (!existsSync(root)) return found;
  for (const folder of readdirSync(root).toSorted())
    for (const name of readdirSync(join(root, folder)).toSorted()) {
      const hash = documentHash(join(root, folder, name));
      if (hash !== undefined) found.set(`${folder}/${name}` as DocPath, hash);
    }
  return found;
}

export type Row = { readonly slug: Slug; readonly path: DocPath; readonly docId: string; readonly pinned: boolean };

const SETTINGS =
  'name, openAiTemp, openAiHistory, openAiPrompt, similarityThreshold, chatModel, topN, chatMode, chatProvider, agentModel, agentProvider, queryRefusalResponse, vectorSearchMode';

/** The replicated rows as texts that differ where the rows do; `hashOf` gives the hash that a change would have. */
export function rowsOn(database: DatabaseSync): Map<Key, string> {
  const found = new Map<Key, string>();
  for (const { slug, ...content } of database.prepare(`select slug, ${SETTINGS} from workspaces`).all())
    found.set(workspaceKey(String(slug) as Slug), JSON.stringify(content));
  const copies = new Map<Key, MembershipCopy[]>();
  for (const { slug, path, docId, pinned } of membershipRowsOn(database)) {
    const key = membershipKey(slug, path);
    const list = copies.get(key) ?? [];
    list.push({ docId, pinned });
    copies.set(key, list);
  }
  for (const [key, list] of copies) found.set(key, JSON.stringify({ copies: list }));
  return found;
}

export function membershipRowsOn(database: DatabaseSync): Row[] {
  return database
    .prepare(
      'select w.slug, d.docpath, d.docId, d.pinned from workspace_documents d join workspaces w on w.id = d.workspaceId order by d.docId',
    )
    .all()
    .map((row) => ({
      slug: String(row['slug']) as Slug,
      path: String(row['docpath']) as DocPath,
      docId: String(row['docId']),
      pinned: row['pinned'] === 1,
    }));
}

export function vectorIdsOn(database: DatabaseSync): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const row of database.prepare('select docId, vectorId from document_vectors order by id').all()) {
    const docId = String(row['docId']);
    const ids = found.get(docId) ?? [];
    ids.push(String(row['vectorId']));
    found.set(docId, ids);
  }
  return found;
}

export function hashOf(text: string): string {
  return contentHash(JSON.parse(text));
}

/** Their rows go with the row of their document, by foreign key. */
const following = ['document_sync_queues', 'document_sync_executions'];

/** Tables that no agent has any business in, as one text. */
export function foreignRowsOn(database: DatabaseSync): string {
  const tables = database
    .prepare(`select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name`)
    .all()
    .map(({ name }) => String(name))
    .filter((name) => !['workspaces', 'workspace_documents', 'document_vectors', ...following].includes(name));
  const own = 'select slug, pfpFilename, vectorTag, router_id from workspaces where pfpFilename is not null order by slug';
  return JSON.stringify([tables.map((table) => [table, database.prepare(`select * from "${table}"`).all()]), database.prepare(own).all()]);
}

/** Files of the storage outside documents/, vector-cache/ and the database, with their hashes. */
export function foreignFilesOn(storageDir: string): string {
  const found: string[] = [];
  const visit = (directory: string, prefix: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const name = prefix + entry.name;
      if (name === 'documents' || name === 'vector-cache' || name === '.docbus' || name.startsWith('anythingllm.db')) continue;
      if (entry.isDirectory()) visit(join(directory, entry.name), `${name}/`);
      else found.push(`${name} ${sha256(readFileSync(join(directory, entry.name)))}`);
    }
  };
  visit(storageDir, '');
  return found.join('\n');
}
