// The workspaces of a group: their rows, and the collections that come and go with them.
import { DocbusError, membershipKey, parseKey, type Change, type Key, type Slug, type WorkspaceContent } from '@docbus/core';
import { collectionName } from '@docbus/replica/collection-name.ts';
import type { Work } from './apply-work.ts';
import type { Context } from './context.ts';
import { examineContent } from './examine.ts';
import { keepContent, mayOverrule } from './give-way.ts';
import { emptied } from './materialise.ts';

/**
 * A workspace that is not here yet starts with an empty collection. One that lies there all the same is what a deletion left that
 * AnythingLLM did not finish (it drops the collection last), and its vectors are in no row: nobody could ever remove them.
 */
export async function clearCollection({ replica: { records, vectors } }: Context, key: Key, signal: AbortSignal): Promise<void> {
  const { slug } = parseKey(key) as { slug: Slug };
  if (records.workspace(slug) !== undefined) return;
  const name = collectionName(slug);
  if (records.workspaces().some((other) => collectionName(other.slug) === name)) return; // two slugs may share one
  await vectors.removeCollection(slug, signal);
}

/**
 * A collection that is to go goes before the rows that know its vectors, and once more after them: where Chroma is away in between, or
 * we die, a person may make the workspace anew, and AnythingLLM would take the old vectors over. Should the workspace stay after all
 * (somebody changes it at this moment), nothing of it counts as being here any more, and everything is filled again.
 */
export async function dropCollectionFirst({ replica, manifest }: Context, slug: Slug, signal: AbortSignal): Promise<void> {
  const rows = replica.records.membershipsIn(slug);
  if (rows.length === 0) return;
  manifest.transaction(() => {
    for (const { path, copies } of rows) {
      for (const { docId } of copies) manifest.putFill(emptied(docId));
      manifest.setApplied(membershipKey(slug, path), false);
      manifest.dropLanded(membershipKey(slug, path));
    }
  });
  await replica.vectors.removeCollection(slug, signal);
}

export function writeWorkspace(work: Work, change: Change): void {
  const { context } = work;
  const { slug } = parseKey(change.key) as { slug: Slug };
  const content = change.content as WorkspaceContent;
  const current = context.replica.records.workspace(slug);
  if (current !== undefined && examineContent(context.manifest, change.key, current).edit === 'put') {
    if (!mayOverrule(work, change.key))
      throw new DocbusError('aborted', `The workspace ${slug} was changed here and not yet published; publishing it first.`);
    keepContent(work, change.key, current);
  }
  context.replica.records.putWorkspace(slug, content);
}

/**
 * Rows that came while the vectors of the others were being removed: a person embedded something into the workspace meanwhile. They are
 * published before the workspace goes, so that they are there again should it come back.
 */
export function keepLateRows(work: Work, slug: Slug): void {
  const { manifest, replica } = work.context;
  for (const { path, copies } of replica.records.membershipsIn(slug)) {
    const key = membershipKey(slug, path);
    if (examineContent(manifest, key, { copies }).edit !== 'put') continue;
    if (!mayOverrule(work, key)) {
      work.context.state.dirty.records = true;
      throw new DocbusError(
        'aborted',
        `${path} was embedded into the workspace ${slug} while that was being removed; publishing it first.`,
      );
    }
    keepContent(work, key, { copies });
  }
}

export function keepOverruledWorkspace(work: Work, key: Key, slug: Slug): void {
  const current = work.context.replica.records.workspace(slug);
  if (current !== undefined && examineContent(work.context.manifest, key, current).edit === 'put') keepContent(work, key, current);
}
