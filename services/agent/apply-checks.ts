// Which winners of a group can be applied here at all: whole payloads, vectors of our embedder, documents in whose place nothing is lost.
import { decodeEmbedding, DocbusError, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { attemptKey, pathOf, unpack, type Work } from './apply-work.ts';
import type { Context } from './context.ts';
import { wasRemovedHere } from './landed.ts';
import { examineCache } from './examine.ts';
import { makeWay } from './give-way.ts';

export async function checkEmbeddings(work: Work, changes: readonly Change[]): Promise<void> {
  const { context, winners, embeddings } = work;
  for (const { key, hash, content, version } of changes) {
    await context.clock.breathe();
    attemptKey(work, key, () => {
      const path = pathOf(key);
      const { fingerprint } = content as EmbeddingContent;
      checkFingerprint(context, key, version.replica, fingerprint);
      const embedding = decodeEmbedding(unpack(work, winners.get(key)!));
      if (embedding.dimensions !== fingerprint.dimensions || embedding.texts.length !== (content as EmbeddingContent).chunks)
        throw new DocbusError(
          'payload_corrupt',
          `${key}: the payload has ${embedding.texts.length} vectors of ${embedding.dimensions} dimensions, the change says otherwise.`,
        );
      const look = examineCache(context, path);
      const isThere = look.picture !== 'unsettled' && look.picture.state === 'present' && look.picture.hash === hash;
      // A cache that an earlier try of this step may have written says nothing about what AnythingLLM put into its collections.
      const wasTried = context.manifest.intentsOf(key).some((intent) => intent.state === 'present' && intent.hash === hash);
      embeddings.set(path, { hash, embedding, adopted: isThere && !wasTried, cached: false });
    });
  }
}

/** Vectors of another engine, model or dimension make a collection useless. Chunk size and overlap travel too, but vectors cut otherwise live together well (as they do in AnythingLLM after a settings change). */
function checkFingerprint(
  { settings: { embedder }, manifest }: Context,
  key: Key,
  replica: string,
  { engine, model, dimensions }: EmbeddingContent['fingerprint'],
): void {
  const known = manifest.meta('dimensions');
  const mine = `${embedder.engine}/${embedder.model}${known === undefined ? '' : ` (${known} dimensions)`}`;
  if (engine === embedder.engine && model === embedder.model && (known === undefined || Number(known) === dimensions)) return;
  throw new DocbusError(
    'embedder_mismatch',
    `${key} was embedded on ${replica} with ${engine}/${model} (${dimensions} dimensions), this replica uses ${mine}. Set the same embedder everywhere (EMBEDDING_ENGINE, EMBEDDING_MODEL_PREF), then \`docbus quarantine retry\`.`,
  );
}

type DocumentWrite = { readonly path: DocPath; readonly bytes: Uint8Array; readonly hash: string };

/** Which documents are to be written, and which are here then. Keeps aside what gives way; throws `aborted` where an edit has to be published first. */
export function checkDocuments(work: Work): { readonly writes: readonly DocumentWrite[]; readonly here: readonly Change[] } {
  const { replica, manifest, state } = work.context;
  const writes: DocumentWrite[] = [];
  const here: Change[] = [];
  for (const winner of work.group.winners) {
    const parsed = parseKey(winner.change.key);
    if (parsed.kind !== 'document' || winner.change.state === 'deleted') continue;
    attemptKey(work, winner.change.key, () => {
      const bytes = unpack(work, winner);
      work.documents.set(parsed.path, bytes);
      const there = makeWay(work, winner.change.key, parsed.path, winner.change.hash);
      const isGone = replica.documents.signature(parsed.path) === undefined && replica.documents.exists();
      if (isGone && wasRemovedHere(manifest, winner.change)) {
        state.documents.add(parsed.path);
        return;
      }
      here.push(winner.change);
      if (there?.hash === winner.change.hash) work.marks.push(...there.marks);
      else writes.push({ path: parsed.path, bytes, hash: winner.change.hash });
    });
  }
  return { writes, here };
}
