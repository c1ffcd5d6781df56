// Which memberships a group touches, and the manifest as they will find it once the group is recorded.
import { documentKey, embeddingKey, membershipKey, parseKey, type DocPath, type Key, type MembershipContent } from '@docbus/core';
import type { Recorded } from '@docbus/replica/manifest.ts';
import { pathOf, type Work } from './apply-work.ts';
import { keepContent, mayOverrule } from './give-way.ts';
import type { View } from './plan-memberships.ts';
import { recordedEmbedding } from './recorded.ts';

/** The memberships named in the batch, and those that wait for, or hang on, something in it. */
export function affectedMemberships(work: Work): readonly Key[] {
  const { context, winners, refused, group } = work;
  const { manifest, replica } = context;
  const keys = new Set<Key>();
  const rowPaths = new Set<DocPath>();
  const held = new Set(manifest.held().map(({ key }) => key));
  const isOfAnotherGroup = (key: Key): boolean => {
    const path = pathOf(key);
    return [key, documentKey(path), embeddingKey(path)].some((needed) => winners.has(needed) && !group.keys.has(needed));
  };
  const waiting = (recorded: readonly Recorded[]): void => {
    for (const { key, state, applied } of recorded)
      if (state === 'present' && !applied && !held.has(key) && !isOfAnotherGroup(key)) keys.add(key);
  };
  for (const { change } of group.winners) {
    if (refused.has(change.key)) continue;
    const parsed = parseKey(change.key);
    switch (parsed.kind) {
      case 'membership':
        keys.add(change.key);
        break;
      case 'workspace':
        if (change.state === 'present') waiting(manifest.membershipsIn(parsed.slug));
        else for (const { slug, path } of replica.records.membershipsIn(parsed.slug)) keys.add(membershipKey(slug, path));
        break;
      case 'document':
      case 'embedding':
        waiting(manifest.membershipsOf(parsed.path));
        rowPaths.add(parsed.path);
        break;
    }
  }
  if (rowPaths.size > 0)
    for (const { slug, path } of replica.records.membershipsOf([...rowPaths])) {
      const key = membershipKey(slug, path);
      // Also one that is held: its rows have come back, and soon it will be held no more.
      if (manifest.entry(key) !== undefined || winners.get(documentKey(path))?.change.state === 'deleted') keys.add(key);
    }
  return [...keys];
}

/** The manifest as it will be once this batch is recorded. */
export function viewOf(work: Work): View {
  const { context, winners, refused, embeddings, documents } = work;
  const entry = (key: Key): Recorded | undefined => {
    const winner = refused.has(key) ? undefined : winners.get(key);
    return winner === undefined ? context.manifest.entry(key) : { ...winner.change, applied: true, logged: true };
  };
  return {
    entry,
    embedding: (path) => {
      const key = embeddingKey(path);
      const winner = winners.get(key);
      if (refused.has(key)) return 'blocked';
      if (winner === undefined) return recordedEmbedding(context, path);
      if (winner.change.state === 'deleted') return work.revived.has(key) ? recordedEmbedding(context, path) : 'deleted';
      const embedded = embeddings.get(path);
      // Its group is recorded already.
      if (embedded === undefined) return recordedEmbedding(context, path);
      const { hash, embedding } = embedded;
      return { hash, chunks: embedding.texts.length, load: () => embedding };
    },
    document: (path) => documents.get(path),
    adopted: (path) => embeddings.get(path)?.adopted === true,
    asked: (key) => winners.has(key),
    overrule: (key, copies) => {
      const doomed = winners.get(key)?.change.state === 'deleted';
      if (!mayOverrule(work, key) && !doomed) return false;
      keepContent(work, key, { copies } satisfies MembershipContent);
      return true;
    },
  };
}
