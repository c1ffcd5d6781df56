// A database with AnythingLLM 1.16's tables as far as docbus touches them, for this package's tests.
// Types, defaults, constraints and indexes are those that its 40 migrations leave behind.
import { DatabaseSync } from 'node:sqlite';

const ddl = `
create table "workspaces" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, "slug" TEXT NOT NULL, "vectorTag" TEXT,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "openAiTemp" REAL, "openAiHistory" INTEGER NOT NULL DEFAULT 20,
  "lastUpdatedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "openAiPrompt" TEXT, "similarityThreshold" REAL DEFAULT 0.25,
  "chatModel" TEXT, "topN" INTEGER DEFAULT 4 CHECK ("topN" > 0), "chatMode" TEXT DEFAULT 'chat', "pfpFilename" TEXT,
  "chatProvider" TEXT, "agentModel" TEXT, "agentProvider" TEXT, "queryRefusalResponse" TEXT,
  "vectorSearchMode" TEXT DEFAULT 'default', "router_id" INTEGER);
create unique index "workspaces_slug_key" on "workspaces"("slug");
create table "workspace_documents" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "docId" TEXT NOT NULL, "filename" TEXT NOT NULL, "docpath" TEXT NOT NULL,
  "workspaceId" INTEGER NOT NULL, "metadata" TEXT, "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "lastUpdatedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "pinned" BOOLEAN DEFAULT false, "watched" BOOLEAN DEFAULT false,
  CONSTRAINT "workspace_documents_workspaceId_fkey" FOREIGN KEY ("workspaceId") REFERENCES "workspaces" ("id") ON DELETE RESTRICT ON UPDATE CASCADE);
create unique index "workspace_documents_docId_key" on "workspace_documents"("docId");
create table "document_vectors" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "docId" TEXT NOT NULL, "vectorId" TEXT NOT NULL,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "lastUpdatedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
create table "document_sync_queues" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "staleAfterMs" INTEGER NOT NULL DEFAULT 604800000, "nextSyncAt" DATETIME NOT NULL,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "lastSyncedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  "workspaceDocId" INTEGER NOT NULL,
  CONSTRAINT "document_sync_queues_workspaceDocId_fkey" FOREIGN KEY ("workspaceDocId") REFERENCES "workspace_documents" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
create unique index "document_sync_queues_workspaceDocId_key" on "document_sync_queues"("workspaceDocId");
create table "system_settings" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "label" TEXT NOT NULL, "value" TEXT,
  "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "lastUpdatedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
create unique index "system_settings_label_key" on "system_settings"("label");
create table "event_logs" (
  "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "event" TEXT NOT NULL, "metadata" TEXT, "userId" INTEGER,
  "occurredAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP);
create index "event_logs_event_idx" on "event_logs"("event");
`;

/** Creates the file and leaves it open: a second connection, as AnythingLLM's is. */
export function createTestDatabase(databasePath: string): DatabaseSync {
  const database = new DatabaseSync(databasePath);
  database.exec(ddl);
  return database;
}
