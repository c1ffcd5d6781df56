// What docbus needs of AnythingLLM's SQLite schema (v1.16.0, its 40 migrations applied). More columns are fine; a missing one
// means a version we do not know, and guessing there could cost a user's data.
import type { DatabaseSync } from 'node:sqlite';
import { DocbusError } from '@docbus/core';

const required = {
  workspaces: [
    'id',
    'name',
    'slug',
    'createdAt',
    'lastUpdatedAt',
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
  ],
  workspace_documents: ['id', 'docId', 'filename', 'docpath', 'workspaceId', 'metadata', 'createdAt', 'lastUpdatedAt', 'pinned'],
  document_vectors: ['id', 'docId', 'vectorId', 'createdAt', 'lastUpdatedAt'],
  system_settings: ['label', 'value'],
  event_logs: ['id', 'event'],
} as const;

/** Throws `schema_unknown` naming the first missing table or column. */
export function checkSchema(database: DatabaseSync, databasePath: string): void {
  const columnsOf = database.prepare('select name from pragma_table_info(?)');
  for (const [table, columns] of Object.entries(required)) {
    const present = new Set(columnsOf.all(table).map((row) => row['name']));
    const missing = present.size === 0 ? `table ${table}` : columns.find((column) => !present.has(column));
    if (missing === undefined) continue;
    const what = present.size === 0 ? missing : `column ${missing} of table ${table}`;
    throw new DocbusError(
      'schema_unknown',
      `${databasePath} has no ${what}, which AnythingLLM 1.16 has. If AnythingLLM is just starting or migrating, wait; else use a docbus that knows this version.`,
    );
  }
}
