// A change: a fact about one key, put or delete, with its version and what it was based on.
import type { Key } from './key.ts';
import type { Base, Stamp, Version } from './version.ts';

/** Settings of a workspace that shape retrieval and chat. Ids, pictures and router_id stay local: they mean nothing on another replica. */
export type WorkspaceContent = {
  readonly name: string;
  readonly openAiTemp: number | null;
  readonly openAiHistory: number;
  readonly openAiPrompt: string | null;
  readonly similarityThreshold: number | null;
  readonly chatModel: string | null;
  readonly topN: number | null;
  readonly chatMode: string | null;
  readonly chatProvider: string | null;
  readonly agentModel: string | null;
  readonly agentProvider: string | null;
  readonly queryRefusalResponse: string | null;
  readonly vectorSearchMode: string | null;
};

/**
 * One row of workspace_documents. AnythingLLM does not prevent two rows for one document in one workspace,
 * and one removal takes one of them, so a membership carries all its rows, sorted by docId.
 */
export type MembershipCopy = { readonly docId: string; readonly pinned: boolean };
export type MembershipContent = { readonly copies: readonly MembershipCopy[] };

/** What made the vectors of an embedding. Vectors of another engine, model or dimension never mix with ours. */
export type Fingerprint = {
  readonly engine: string;
  readonly model: string;
  readonly dimensions: number;
  /** characters; null where the embedder's own maximum is in force */
  readonly chunkSize: number | null;
  readonly chunkOverlap: number;
};

/** Facts that travel with an embedding beside its payload; not part of its hash. */
export type EmbeddingContent = {
  readonly fingerprint: Fingerprint;
  readonly chunks: number;
  /** sha256 of the document file that the embedding was made from, as far as the publisher could tell. */
  readonly documentHash: string | null;
};

/** A document is its bytes: size in bytes, the payload carries them. */
export type DocumentContent = { readonly bytes: number };

export type Content = DocumentContent | EmbeddingContent | WorkspaceContent | MembershipContent;

/**
 * `hash` is sha256 in hex: of the payload for documents and embeddings, of the canonical JSON of the content for
 * workspaces and memberships, '' when deleted. `base` is what the publisher replaced, with its ancestors.
 */
export type Change = {
  readonly key: Key;
  readonly version: Version;
  readonly base: Base;
  readonly hash: string;
  /** random id of the manifest that published it: two agents that share a replica id by mistake find each other by it */
  readonly instance: string;
  /** milliseconds since the epoch at the publisher; shown to people, never compared */
  readonly time: number;
} & ({ readonly state: 'present'; readonly content: Content } | { readonly state: 'deleted'; readonly content: null });

/** What a replica last recorded for a key: the winner of every change it has merged. */
export type Entry = Stamp & { readonly key: Key; readonly base: Base };

export function stampOf(value: Change | Entry): Stamp {
  return { version: value.version, state: value.state, hash: value.hash };
}
