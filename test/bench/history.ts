// The log as an agent leaves it when people upload and embed documents: the same records, made by the same codec.
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
  type Fingerprint,
  type Key,
  type Slug,
  type WorkspaceContent,
} from '@docbus/core';
import { packPayload, recordsOf } from '@docbus/log';
import type { LogRecord } from '@docbus/log/port.ts';
import type { BenchDocument } from './content.ts';

export const slug = 'bench' as Slug;
export const embedder = { engine: 'test', model: 'bench' } as const;

const instance = '00000000-0000-4000-8000-000000000000';

function changeOf(key: Key, hash: string, content: Content): Change {
  const version = { revision: 1, replica: 'author' };
  return { key, version, base: {}, hash, instance, time: 1_790_000_000_000, state: 'present', content };
}

export function workspaceRecords(): readonly LogRecord[] {
  const content: WorkspaceContent = {
    name: 'Bench',
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
  return recordsOf(changeOf(workspaceKey(slug), contentHash(content), content), undefined);
}

export type DocumentRecords = {
  readonly document: readonly LogRecord[];
  readonly embedding: readonly LogRecord[];
  readonly membership: readonly LogRecord[];
};

export function documentRecords({ path, bytes, embedding, docId }: BenchDocument): DocumentRecords {
  const raw = encodeEmbedding(embedding);
  const fingerprint: Fingerprint = { ...embedder, dimensions: embedding.dimensions, chunkSize: null, chunkOverlap: 20 };
  const membership = { copies: [{ docId, pinned: false }] };
  const documentHash = sha256(bytes);
  return {
    document: recordsOf(changeOf(documentKey(path), documentHash, { bytes: bytes.length }), packPayload(bytes)),
    embedding: recordsOf(
      changeOf(embeddingKey(path), sha256(raw), { fingerprint, chunks: embedding.texts.length, documentHash }),
      packPayload(raw),
    ),
    membership: recordsOf(changeOf(membershipKey(slug, path), contentHash(membership), membership), undefined),
  };
}
