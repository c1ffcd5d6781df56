// One agent with its loop and HTTP app over a real storage directory and database, a log and a Chroma in memory, for tests.
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  contentHash,
  documentKey,
  embeddingKey,
  encodeEmbedding,
  membershipKey,
  sha256,
  workspaceKey,
  type Change,
  type Content,
  type DocPath,
  type Embedding,
  type Key,
  type Slug,
  type WorkspaceContent,
} from '@docbus/core';
import { recordsOf } from '@docbus/log';
import { createMemoryLog } from '@docbus/log/memory.ts';
import { packPayload } from '@docbus/log/payload.ts';
import { openCaches } from '@docbus/replica/caches.ts';
import { createFakeChroma } from '@docbus/replica/chroma-fake.ts';
import { createTestDatabase } from '@docbus/replica/database-for-tests.ts';
import { openDocuments } from '@docbus/replica/documents.ts';
import { openManifest } from '@docbus/replica/manifest.ts';
import { openRecords } from '@docbus/replica/records.ts';
import { createFakeVectors } from '@docbus/replica/vectors-fake.ts';
import { createBell, silentLogger, systemClock as clock } from '@docbus/runtime';
import { createAgent } from './agent.ts';
import { openConflictFiles } from './conflict-files.ts';
import { defaultSettings, type AgentOptions, type Scope } from './context.ts';
import { createAgentApp } from './http.ts';
import { createAgentMetrics } from './metrics.ts';
import { createLoop } from './run.ts';
import { createStatusReader } from './status.ts';

export const TOKEN = 'hush-hush';
export const DOCUMENT_BYTES_MAX = 1 << 16;
/** A workspace as AnythingLLM makes it. */
export const plainWorkspace: WorkspaceContent = {
  name: 'Plain',
  openAiTemp: null,
  openAiHistory: 20,
  openAiPrompt: null,
  similarityThreshold: 0.25,
  chatModel: null,
  topN: 4,
  chatMode: 'automatic',
  chatProvider: null,
  agentModel: null,
  agentProvider: null,
  queryRefusalResponse: null,
  vectorSearchMode: 'default',
};
const never = new AbortController().signal;

/** `change` replaces ports or settings. Nothing runs before `loop.run` is called or a step is. */
export function openTestAgent(
  t: TestContext,
  change: (options: AgentOptions) => AgentOptions = (options) => options,
  logger = silentLogger,
) {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-agent-'));
  const stateDir = join(storageDir, 'state');
  const databasePath = join(storageDir, 'anythingllm.db');
  mkdirSync(join(storageDir, 'documents', 'f'), { recursive: true });
  const database = createTestDatabase(databasePath);
  const records = openRecords({ databasePath, clock, busyMs: 1000 });
  const manifest = openManifest({ directory: stateDir, clock });
  t.after(() => {
    for (const opened of [manifest, records, database]) opened[Symbol.dispose]();
    rmSync(storageDir, { recursive: true });
  });
  const replica = {
    documents: openDocuments({ storageDir, clock, documentBytesMax: DOCUMENT_BYTES_MAX }),
    caches: openCaches({ storageDir, clock }),
    records,
    vectors: createFakeVectors(createFakeChroma()),
  };
  const log = createMemoryLog({ clock, replica: 'a' });
  const settings = { ...defaultSettings, replicaId: 'a', embedder: { engine: 'native', model: 'm' }, settleMs: 60_000 };
  const agent = createAgent(change({ replica, log, manifest, conflicts: openConflictFiles(stateDir), clock, logger, settings }));
  const hints = async function* (stop: AbortSignal): AsyncIterable<Scope> {
    if (!stop.aborted) await once(stop, 'abort');
    yield {};
  };
  const loop = createLoop({ agent, log, hints, bell: createBell(), clock, logger, sweepMs: 60_000 });
  const reader = createStatusReader(agent, loop, '0.0.0');
  const registry = createAgentMetrics(agent, loop, reader, never);
  const app = createAgentApp({ agent, loop, reader, registry, token: TOKEN, clock, logger });
  return { agent, loop, app, manifest, storageDir, stateDir };
}

/** A change by the replica b as it lies in the log, with its payload: bytes of a document, or an embedding. */
export function recordsOfTheirs(
  key: Key,
  content: Content | null,
  { revision = 1, payload }: { revision?: number; payload?: Uint8Array } = {},
) {
  const common = { key, version: { revision, replica: 'b' }, base: revision > 1 ? { b: revision - 1 } : {}, instance: 'b', time: 0 };
  const hash = payload === undefined ? contentHash(content) : sha256(payload);
  const change: Change =
    content === null ? { ...common, state: 'deleted', hash: '', content } : { ...common, state: 'present', hash, content };
  return recordsOf(change, payload === undefined ? undefined : packPayload(payload));
}

/** A document of b's with an embedding of one chunk in a workspace: the records in their order. */
export function theirDocument({ slug, path, docId, text = 'about it' }: { slug: Slug; path: DocPath; docId: string; text?: string }) {
  const bytes = Buffer.from(JSON.stringify({ title: 'Page', pageContent: text }));
  return [
    ...recordsOfTheirs(workspaceKey(slug), plainWorkspace),
    ...recordsOfTheirs(documentKey(path), { bytes: bytes.length }, { payload: bytes }),
    ...theirEmbedding(path, text),
    ...recordsOfTheirs(membershipKey(slug, path), { copies: [{ docId, pinned: false }] }),
  ];
}

export function embeddingOf(text: string): Embedding {
  return { dimensions: 2, texts: [text], metadatas: [{ title: 'Page' }], vectors: Float32Array.of(0.5, 0.5) };
}

export function theirEmbedding(path: DocPath, text: string, revision = 1) {
  const fingerprint = { engine: 'native', model: 'm', dimensions: 2, chunkSize: null, chunkOverlap: 20 };
  const content = { fingerprint, chunks: 1, documentHash: null };
  return recordsOfTheirs(embeddingKey(path), content, { revision, payload: encodeEmbedding(embeddingOf(text)) });
}
