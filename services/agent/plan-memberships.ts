// Which rows a membership is to have, beside those that it has: the plan of materialise.ts. It writes nothing.
import {
  contentHash,
  DocbusError,
  documentKey,
  parseKey,
  reconcile,
  workspaceKey,
  type DocPath,
  type Key,
  type MembershipContent,
  type MembershipCopy,
  type Slug,
} from '@docbus/core';
import type { Recorded } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';
import { knownOf } from './examine.ts';
import { wasRemovedHere } from './landed.ts';
import type { WantedEmbedding } from './recorded.ts';
import { rowMetadataOf } from './stale.ts';

/** What is recorded, or will be once this work is done. */
export type View = {
  entry(key: Key): Recorded | undefined;
  /** 'none': not known, leave vectors alone. 'deleted': there are no rows. 'blocked': it waits in quarantine, and its memberships with it. */
  embedding(path: DocPath): WantedEmbedding | 'none' | 'deleted' | 'blocked';
  /** The document's bytes where they are at hand. */
  document(path: DocPath): Uint8Array | undefined;
  /** True where the cache on disk was found to be that embedding before we touched it: rows without a known fill were made from it. */
  adopted(path: DocPath): boolean;
  /** Whether rows that nobody has published give way here: at first contact the log wins, their content is kept. Otherwise materialise throws `aborted`. */
  overrule(key: Key, copies: readonly MembershipCopy[]): boolean;
  /** True where the membership itself is being written, not only something that it hangs on. */
  asked(key: Key): boolean;
};

/** What the rows of one membership are, and what they are to be. */
export type Task = {
  readonly key: Key;
  readonly slug: Slug;
  readonly path: DocPath;
  readonly current: readonly MembershipCopy[];
  readonly target: readonly MembershipCopy[];
};

export type Plan = {
  readonly tasks: readonly Task[];
  readonly waiting: readonly Key[];
  /** put here by an earlier try, and gone again: somebody's edit */
  readonly removed: readonly Key[];
};

/** Reads the rows as they are and refuses to go on over an edit that nobody has published. */
export function planTasks(context: Context, keys: readonly Key[], view: View): Plan {
  const { replica, manifest, state } = context;
  const waiting: Key[] = [];
  const removed: Key[] = [];
  const parsed = [...new Set(keys)].map((key) => parseKey(key)).filter((key) => key.kind === 'membership');
  const rows = new Map(
    parsed.length === 0
      ? []
      : replica.records.membershipsOf([...new Set(parsed.map(({ path }) => path))]).map((row) => [`${row.slug}/${row.path}`, row.copies]),
  );
  const tasks = parsed
    .toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : a.slug < b.slug ? -1 : 1))
    .flatMap(({ key, slug, path }) => {
      const current = rows.get(`${slug}/${path}`) ?? [];
      const wanted = targetOf(view, key, slug, path);
      if (current.length === 0 && wanted.length > 0) {
        // Rows that were here and are gone were removed by somebody: that is an edit, to be published as one (see deletions.ts).
        if (!view.asked(key) && isOnDisk(manifest, key)) return [];
        if (view.asked(key) && wasRemovedHere(manifest, { key, hash: view.entry(key)?.hash ?? '' })) {
          removed.push(key);
          state.dirty.records = true;
          return [];
        }
        // Nor does a document come back into a workspace where one of the two was removed, and nobody has been told yet.
        if (isUnfounded(context, view, slug, path)) {
          waiting.push(key);
          return [];
        }
      }
      // The document went with its embedding and was made anew, and this membership outlived both: AnythingLLM shows a document that has a
      // row as embedded, so it gets none before somebody embeds it.
      const target = wanted.length > 0 && view.embedding(path) === 'deleted' ? [] : wanted;
      if (current.length > 0 && !sameCopies(current, target)) {
        const known = knownOf(manifest, key);
        if (reconcile({ state: 'present', hash: contentHash({ copies: current }) }, known) === 'put' && !view.overrule(key, current)) {
          state.dirty.records = true;
          throw new DocbusError('aborted', `${path} in the workspace ${slug} was changed here and not yet published; publishing it first.`);
        }
      }
      return [{ key, slug, path, current, target }];
    });
  return { tasks, waiting, removed };
}

/** True where the workspace or the document is said to be here and is not. */
function isUnfounded({ replica: { records, documents } }: Context, view: View, slug: Slug, path: DocPath): boolean {
  if (records.workspace(slug) === undefined) return true;
  return view.entry(documentKey(path))?.state === 'present' && documents.signature(path) === undefined;
}

function isOnDisk(manifest: Context['manifest'], key: Key): boolean {
  const entry = manifest.entry(key);
  return entry?.state === 'present' && entry.applied;
}

/** A membership has rows where it, its workspace and its document are recorded as present, and its embedding is not in quarantine. */
function targetOf(view: View, key: Key, slug: Slug, path: DocPath): readonly MembershipCopy[] {
  const entry = view.entry(key);
  if (entry?.state !== 'present' || view.entry(workspaceKey(slug))?.state !== 'present') return [];
  if (view.entry(documentKey(path))?.state === 'deleted' || view.embedding(path) === 'blocked') return [];
  return (entry.content as MembershipContent).copies;
}

export function metadataFor({ replica }: Context, { path, current, target }: Task, view: View): string | null {
  if (target.every(({ docId }) => current.some((copy) => copy.docId === docId))) return null;
  const bytes = view.document(path);
  if (bytes !== undefined) return rowMetadataOf(bytes);
  const document = replica.documents.read(path);
  return document.type === 'read' ? rowMetadataOf(document.value) : null;
}

export function sameCopies(a: readonly MembershipCopy[], b: readonly MembershipCopy[]): boolean {
  return a.length === b.length && a.every((copy, i) => copy.docId === b[i]?.docId && copy.pinned === b[i].pinned);
}
