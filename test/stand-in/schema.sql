-- The database of AnythingLLM v1.16.0 as its 40 migrations leave it: every table with its columns in their order, defaults,
-- foreign keys and indexes. storage.test.ts holds the digest of the real one. journal_mode stays "delete", as there.

CREATE TABLE api_keys (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  secret TEXT,
  createdBy INTEGER,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  name TEXT
);
CREATE UNIQUE INDEX api_keys_secret_key ON api_keys (secret);

CREATE TABLE browser_extension_api_keys (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL
);
CREATE UNIQUE INDEX browser_extension_api_keys_key_key ON browser_extension_api_keys (key);
CREATE INDEX browser_extension_api_keys_user_id_idx ON browser_extension_api_keys (user_id);

CREATE TABLE cache_data (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  data TEXT NOT NULL,
  belongsTo TEXT,
  byId INTEGER,
  expiresAt DATETIME,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE desktop_mobile_devices (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  deviceOs TEXT NOT NULL,
  deviceName TEXT NOT NULL,
  token TEXT NOT NULL,
  approved BOOLEAN NOT NULL DEFAULT false,
  userId INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX desktop_mobile_devices_token_key ON desktop_mobile_devices (token);
CREATE INDEX desktop_mobile_devices_userId_idx ON desktop_mobile_devices (userId);

CREATE TABLE document_sync_executions (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  queueId INTEGER NOT NULL REFERENCES document_sync_queues (id) ON DELETE CASCADE ON UPDATE CASCADE,
  status TEXT NOT NULL DEFAULT 'unknown',
  result TEXT,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE document_sync_queues (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  staleAfterMs INTEGER NOT NULL DEFAULT 604800000,
  nextSyncAt DATETIME NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastSyncedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  workspaceDocId INTEGER NOT NULL REFERENCES workspace_documents (id) ON DELETE CASCADE ON UPDATE CASCADE
);
CREATE UNIQUE INDEX document_sync_queues_workspaceDocId_key ON document_sync_queues (workspaceDocId);

CREATE TABLE document_vectors (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  docId TEXT NOT NULL,
  vectorId TEXT NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE embed_chats (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  prompt TEXT NOT NULL,
  response TEXT NOT NULL,
  session_id TEXT NOT NULL,
  include BOOLEAN NOT NULL DEFAULT true,
  connection_information TEXT,
  embed_id INTEGER NOT NULL REFERENCES embed_configs (id) ON DELETE CASCADE ON UPDATE CASCADE,
  usersId INTEGER REFERENCES users (id) ON DELETE SET NULL ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE embed_configs (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL,
  enabled BOOLEAN NOT NULL DEFAULT false,
  chat_mode TEXT NOT NULL DEFAULT 'query',
  allowlist_domains TEXT,
  allow_model_override BOOLEAN NOT NULL DEFAULT false,
  allow_temperature_override BOOLEAN NOT NULL DEFAULT false,
  allow_prompt_override BOOLEAN NOT NULL DEFAULT false,
  max_chats_per_day INTEGER,
  max_chats_per_session INTEGER,
  workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdBy INTEGER,
  usersId INTEGER REFERENCES users (id) ON DELETE SET NULL ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  message_limit INTEGER DEFAULT 20
);
CREATE UNIQUE INDEX embed_configs_uuid_key ON embed_configs (uuid);

CREATE TABLE event_logs (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL,
  metadata TEXT,
  userId INTEGER,
  occurredAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX event_logs_event_idx ON event_logs (event);

CREATE TABLE external_communication_connectors (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  type TEXT NOT NULL,
  config TEXT NOT NULL DEFAULT '{}',
  active BOOLEAN NOT NULL DEFAULT false,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX external_communication_connectors_type_key ON external_communication_connectors (type);

CREATE TABLE invites (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  code TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'pending',
  claimedBy INTEGER,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  createdBy INTEGER NOT NULL,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  workspaceIds TEXT
);
CREATE UNIQUE INDEX invites_code_key ON invites (code);

CREATE TABLE memories (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  workspace_id INTEGER REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  scope TEXT NOT NULL DEFAULT 'workspace',
  content TEXT NOT NULL,
  last_used_at DATETIME,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updated_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX memories_user_id_scope_idx ON memories (user_id, scope);
CREATE INDEX memories_user_id_workspace_id_idx ON memories (user_id, workspace_id);

CREATE TABLE model_router_rules (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  router_id INTEGER NOT NULL REFERENCES model_routers (id) ON DELETE CASCADE ON UPDATE CASCADE,
  enabled BOOLEAN NOT NULL DEFAULT true,
  priority INTEGER NOT NULL,
  type TEXT NOT NULL DEFAULT 'calculated',
  title TEXT NOT NULL,
  description TEXT,
  condition_logic TEXT,
  conditions TEXT,
  route_provider TEXT NOT NULL,
  route_model TEXT NOT NULL,
  created_by INTEGER,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX model_router_rules_router_id_enabled_priority_idx ON model_router_rules (router_id, enabled, priority);
CREATE INDEX model_router_rules_router_id_idx ON model_router_rules (router_id);
CREATE UNIQUE INDEX model_router_rules_router_id_title_key ON model_router_rules (router_id, title);

CREATE TABLE model_routers (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  description TEXT,
  fallback_provider TEXT NOT NULL,
  fallback_model TEXT NOT NULL,
  cooldown_seconds INTEGER NOT NULL DEFAULT 30,
  created_by INTEGER,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX model_routers_name_key ON model_routers (name);

CREATE TABLE password_reset_tokens (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  token TEXT NOT NULL,
  expiresAt DATETIME NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX password_reset_tokens_token_key ON password_reset_tokens (token);
CREATE INDEX password_reset_tokens_user_id_idx ON password_reset_tokens (user_id);

CREATE TABLE prompt_history (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspaceId INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  prompt TEXT NOT NULL,
  modifiedBy INTEGER REFERENCES users (id) ON DELETE SET NULL ON UPDATE CASCADE,
  modifiedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX prompt_history_workspaceId_idx ON prompt_history (workspaceId);

CREATE TABLE recovery_codes (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  code_hash TEXT NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX recovery_codes_user_id_idx ON recovery_codes (user_id);

CREATE TABLE scheduled_job_runs (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  jobId INTEGER NOT NULL REFERENCES scheduled_jobs (id) ON DELETE CASCADE ON UPDATE CASCADE,
  status TEXT NOT NULL DEFAULT 'queued',
  result TEXT,
  error TEXT,
  startedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  completedAt DATETIME,
  readAt DATETIME
);
CREATE INDEX scheduled_job_runs_jobId_idx ON scheduled_job_runs (jobId);

CREATE TABLE scheduled_jobs (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  prompt TEXT NOT NULL,
  tools TEXT,
  schedule TEXT NOT NULL,
  enabled BOOLEAN NOT NULL DEFAULT true,
  lastRunAt DATETIME,
  nextRunAt DATETIME,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE slash_command_presets (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  command TEXT NOT NULL,
  prompt TEXT NOT NULL,
  description TEXT NOT NULL,
  uid INTEGER NOT NULL DEFAULT 0,
  userId INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX slash_command_presets_uid_command_key ON slash_command_presets (uid, command);

CREATE TABLE system_prompt_variables (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  value TEXT,
  description TEXT,
  type TEXT NOT NULL DEFAULT 'system',
  userId INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  updatedAt DATETIME NOT NULL
);
CREATE UNIQUE INDEX system_prompt_variables_key_key ON system_prompt_variables (key);
CREATE INDEX system_prompt_variables_userId_idx ON system_prompt_variables (userId);

CREATE TABLE system_settings (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  label TEXT NOT NULL,
  value TEXT,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX system_settings_label_key ON system_settings (label);

CREATE TABLE temporary_auth_tokens (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  token TEXT NOT NULL,
  userId INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  expiresAt DATETIME NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX temporary_auth_tokens_token_idx ON temporary_auth_tokens (token);
CREATE UNIQUE INDEX temporary_auth_tokens_token_key ON temporary_auth_tokens (token);
CREATE INDEX temporary_auth_tokens_userId_idx ON temporary_auth_tokens (userId);

CREATE TABLE users (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  username TEXT,
  password TEXT NOT NULL,
  role TEXT NOT NULL DEFAULT 'default',
  suspended INTEGER NOT NULL DEFAULT 0,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  pfpFilename TEXT,
  seen_recovery_codes BOOLEAN DEFAULT false,
  dailyMessageLimit INTEGER,
  bio TEXT DEFAULT '',
  web_push_subscription_config TEXT
);
CREATE UNIQUE INDEX users_username_key ON users (username);

CREATE TABLE workspace_agent_invocations (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL,
  prompt TEXT NOT NULL,
  closed BOOLEAN NOT NULL DEFAULT false,
  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  thread_id INTEGER,
  workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX workspace_agent_invocations_uuid_idx ON workspace_agent_invocations (uuid);
CREATE UNIQUE INDEX workspace_agent_invocations_uuid_key ON workspace_agent_invocations (uuid);

CREATE TABLE workspace_chats (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspaceId INTEGER NOT NULL,
  prompt TEXT NOT NULL,
  response TEXT NOT NULL,
  include BOOLEAN NOT NULL DEFAULT true,
  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  thread_id INTEGER,
  feedbackScore BOOLEAN,
  api_session_id TEXT,
  memory_processed BOOLEAN
);

CREATE TABLE workspace_documents (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  docId TEXT NOT NULL,
  filename TEXT NOT NULL,
  docpath TEXT NOT NULL,
  workspaceId INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE RESTRICT ON UPDATE CASCADE,
  metadata TEXT,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  pinned BOOLEAN DEFAULT false,
  watched BOOLEAN DEFAULT false
);
CREATE UNIQUE INDEX workspace_documents_docId_key ON workspace_documents (docId);

CREATE TABLE workspace_parsed_files (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  filename TEXT NOT NULL,
  workspaceId INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  userId INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  threadId INTEGER REFERENCES workspace_threads (id) ON DELETE CASCADE ON UPDATE CASCADE,
  metadata TEXT,
  tokenCountEstimate INTEGER DEFAULT 0,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX workspace_parsed_files_filename_key ON workspace_parsed_files (filename);
CREATE INDEX workspace_parsed_files_userId_idx ON workspace_parsed_files (userId);
CREATE INDEX workspace_parsed_files_workspaceId_idx ON workspace_parsed_files (workspaceId);

CREATE TABLE workspace_suggested_messages (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  workspaceId INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  heading TEXT NOT NULL,
  message TEXT NOT NULL,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX workspace_suggested_messages_workspaceId_idx ON workspace_suggested_messages (workspaceId);

CREATE TABLE workspace_threads (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  slug TEXT NOT NULL,
  workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  user_id INTEGER REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE UNIQUE INDEX workspace_threads_slug_key ON workspace_threads (slug);
CREATE INDEX workspace_threads_user_id_idx ON workspace_threads (user_id);
CREATE INDEX workspace_threads_workspace_id_idx ON workspace_threads (workspace_id);

CREATE TABLE workspace_users (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE,
  workspace_id INTEGER NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE ON UPDATE CASCADE,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE workspaces (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  slug TEXT NOT NULL,
  vectorTag TEXT,
  createdAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  openAiTemp REAL,
  openAiHistory INTEGER NOT NULL DEFAULT 20,
  lastUpdatedAt DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  openAiPrompt TEXT,
  similarityThreshold REAL DEFAULT 0.25,
  chatModel TEXT,
  topN INTEGER DEFAULT 4 CHECK (topN > 0),
  chatMode TEXT DEFAULT 'chat',
  pfpFilename TEXT,
  chatProvider TEXT,
  agentModel TEXT,
  agentProvider TEXT,
  queryRefusalResponse TEXT,
  vectorSearchMode TEXT DEFAULT 'default',
  router_id INTEGER
);
CREATE UNIQUE INDEX workspaces_slug_key ON workspaces (slug);

CREATE TABLE _prisma_migrations (
  id TEXT PRIMARY KEY NOT NULL,
  checksum TEXT NOT NULL,
  finished_at DATETIME,
  migration_name TEXT NOT NULL,
  logs TEXT,
  rolled_back_at DATETIME,
  started_at DATETIME NOT NULL DEFAULT current_timestamp,
  applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0
);

-- Names only: the checksums are of files that are not here.
INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, started_at, applied_steps_count) VALUES
  ('1', '', '20230921191814_init', 0, 0, 1),
  ('2', '', '20231101001441_init', 0, 0, 1),
  ('3', '', '20231101195421_init', 0, 0, 1),
  ('4', '', '20231129012019_add', 0, 0, 1),
  ('5', '', '20240113013409_init', 0, 0, 1),
  ('6', '', '20240118201333_init', 0, 0, 1),
  ('7', '', '20240202002020_init', 0, 0, 1),
  ('8', '', '20240206181106_init', 0, 0, 1),
  ('9', '', '20240206211916_init', 0, 0, 1),
  ('10', '', '20240208224848_init', 0, 0, 1),
  ('11', '', '20240210004405_init', 0, 0, 1),
  ('12', '', '20240216214639_init', 0, 0, 1),
  ('13', '', '20240219211018_init', 0, 0, 1),
  ('14', '', '20240301002308_init', 0, 0, 1),
  ('15', '', '20240326231053_init', 0, 0, 1),
  ('16', '', '20240405015034_init', 0, 0, 1),
  ('17', '', '20240412183346_init', 0, 0, 1),
  ('18', '', '20240425004220_init', 0, 0, 1),
  ('19', '', '20240430230707_init', 0, 0, 1),
  ('20', '', '20240510032311_init', 0, 0, 1),
  ('21', '', '20240618224346_init', 0, 0, 1),
  ('22', '', '20240821215625_init', 0, 0, 1),
  ('23', '', '20240824005054_init', 0, 0, 1),
  ('24', '', '20241003192954_init', 0, 0, 1),
  ('25', '', '20241029203722_init', 0, 0, 1),
  ('26', '', '20241029233509_init', 0, 0, 1),
  ('27', '', '20250102204948_init', 0, 0, 1),
  ('28', '', '20250226005538_init', 0, 0, 1),
  ('29', '', '20250318154720_init', 0, 0, 1),
  ('30', '', '20250506214129_init', 0, 0, 1),
  ('31', '', '20250709230835_init', 0, 0, 1),
  ('32', '', '20250725194841_init', 0, 0, 1),
  ('33', '', '20250808171557_init', 0, 0, 1),
  ('34', '', '20260130040204_init', 0, 0, 1),
  ('35', '', '20260313192859_init', 0, 0, 1),
  ('36', '', '20260319202916_init', 0, 0, 1),
  ('37', '', '20260406120000_init', 0, 0, 1),
  ('38', '', '20260423191158_init', 0, 0, 1),
  ('39', '', '20260424013043_init', 0, 0, 1),
  ('40', '', '20260520160208_init', 0, 0, 1);
