// Which edits of this replica stand in the way of incoming changes: the same key, or a membership of a document, embedding or
// workspace that is about to change: its rows are looked at then, and rows that nobody has published are not written over.
import { documentKey, embeddingKey, parseKey, workspaceKey, type Change, type Key } from '@docbus/core';
import { isBootstrapping, type Context } from './context.ts';
import { examineCache, examineContent, examineDocument } from './examine.ts';
import { surveyRecords, touch } from './survey.ts';

/** Keys of unpublished puts (and of what they need to be published), for the changes that are about to be applied. */
export function relevantEdits(context: Context, changes: readonly Change[]): ReadonlySet<Key> {
  const { manifest, replica, state } = context;
  const edits = new Set<Key>();
  if (changes.length === 0) return edits;
  surveyRecords(context);
  // At first contact a key that was never recorded gives way to the log.
  const firstContact = (key: Key): boolean => isBootstrapping(manifest) && manifest.entry(key) === undefined;
  const addMembership = (key: Key): void => {
    const parsed = parseKey(key);
    if (parsed.kind !== 'membership' || firstContact(key)) return;
    const copies = state.memberships.get(key)?.copies ?? [];
    if (copies.length === 0 || examineContent(manifest, key, { copies }).edit !== 'put') return;
    touch(context, parsed.path);
    for (const needed of [key, workspaceKey(parsed.slug), documentKey(parsed.path), embeddingKey(parsed.path)]) edits.add(needed);
  };
  const touched = new Set<string>();
  for (const { key } of changes) {
    const parsed = parseKey(key);
    if (parsed.kind === 'workspace') touched.add(`slug ${parsed.slug}`);
    else if (parsed.kind === 'membership') addMembership(key);
    else touched.add(`path ${parsed.path}`);
    if (firstContact(key)) continue;
    switch (parsed.kind) {
      case 'document':
        if (examineDocument(context, parsed.path).edit === 'put') edits.add(key);
        state.documents.add(parsed.path);
        break;
      case 'embedding':
        if (manifest.entry(key)?.state === 'present' && examineCache(context, parsed.path).edit === 'put') edits.add(key);
        state.embeddings.add(parsed.path);
        break;
      case 'workspace': {
        const content = replica.records.workspace(parsed.slug);
        if (content !== undefined && examineContent(manifest, key, content).edit === 'put') edits.add(key);
        break;
      }
      case 'membership':
        break;
    }
  }
  if (touched.size > 0)
    for (const [key, { slug, path }] of state.memberships)
      if (touched.has(`slug ${slug}`) || touched.has(`path ${path}`)) addMembership(key);
  return edits;
}
