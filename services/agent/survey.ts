// survey turns "look there" into candidate keys, cheaply: stat signatures against marks, rows against entries.
// It decides nothing: examine.ts looks at each candidate exactly before anything is published.
import { contentHash, documentKey, membershipKey, workspaceKey, type DocPath, type Key, type Slug } from '@docbus/core';
import type { FolderMark } from '@docbus/replica/manifest.ts';
import type { Candidate, Context, Scope } from './context.ts';

/** Notes where to look at the next survey. */
export function markDirty({ state: { dirty } }: Pick<Context, 'state'>, scope: Scope): void {
  if (scope.all) dirty.allFiles = dirty.records = true;
  for (const folder of scope.folders ?? []) dirty.folders.add(folder);
  for (const path of scope.paths ?? []) dirty.paths.add(path);
  if (scope.records) dirty.records = true;
}

/** Looks at the files that hints or a sweep named, and adds candidates. Synchronous: no edit of our own can come between. */
export function surveyFiles(context: Context): void {
  const { replica, manifest, state } = context;
  const { dirty } = state;
  for (const path of dirty.paths) {
    state.documents.add(path);
    state.embeddings.add(path);
  }
  if (dirty.allFiles) {
    state.problems.clear();
    for (const folder of new Set([...replica.documents.folders(), ...manifest.markedFolders()])) dirty.folders.add(folder);
    for (const path of manifest.unmarkedDocuments()) state.documents.add(path);
  }
  for (const folder of dirty.folders) surveyFolder(context, folder);
  dirty.allFiles = false;
  dirty.paths.clear();
  dirty.folders.clear();
}

/** Merge-join of a directory listing with the marks of the same folder; both are in name order. */
function surveyFolder({ replica: { documents, caches }, manifest, state }: Context, folder: string): void {
  const { paths, problems } = documents.list(folder);
  for (const { name, reason } of problems) state.problems.set(name, reason);
  const marks = manifest.folderMarks(folder);
  let mark = next(marks);
  for (const path of paths) {
    while (mark !== undefined && before(mark.path, path)) {
      state.documents.add(mark.path);
      mark = next(marks);
    }
    const known = mark?.path === path ? mark : undefined;
    if (known !== undefined) mark = next(marks);
    if (known === undefined || known.document.hash !== known.documentEntry || documents.signature(path) !== known.document.signature)
      state.documents.add(path);
    // A cache whose embedding is not recorded says nothing by itself: the row of workspace_documents is what completes an embed.
    if (known !== undefined && known.embeddingEntry !== null) {
      const signature = caches.signature(path);
      if (signature !== undefined && (signature !== known.cache?.signature || known.cache.hash !== known.embeddingEntry))
        state.embeddings.add(path);
    }
  }
  for (; mark !== undefined; mark = next(marks)) state.documents.add(mark.path);
}

/** Order of SQLite's BINARY collation: by UTF-8 bytes. */
function before(a: string, b: string): boolean {
  return a !== b && Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0;
}

function next(marks: Generator<FolderMark>): FolderMark | undefined {
  const { value, done } = marks.next();
  return done === true ? undefined : value;
}

/**
 * Looks at the database where it changed since the last look. The candidates for workspaces and memberships are rebuilt whole,
 * so they are exact as of this database version. Returns false where nothing was looked at.
 */
export function surveyRecords(context: Context): boolean {
  const { replica, manifest, state } = context;
  const version = replica.records.version();
  if (!state.dirty.records && version === state.recordsVersion) return false;
  const look = replica.records.look();

  state.databaseReplaced = look.eventSequence < Number(manifest.meta('event_sequence') ?? 0);
  state.workspaces.clear();
  const slugs = new Set<Slug>();
  for (const { slug, content } of replica.records.workspaces()) {
    const key = workspaceKey(slug);
    slugs.add(slug);
    const entry = manifest.entry(key);
    if (entry?.state !== 'present' || entry.hash !== contentHash(content)) state.workspaces.add(slug);
    else state.absentSince.delete(key);
  }
  for (const { key } of manifest.presentHashes('workspace')) {
    const slug = key.slice('workspace/'.length) as Slug;
    if (!slugs.has(slug)) state.workspaces.add(slug);
  }
  const absentMemberships = surveyMemberships(context);

  state.resetPending = absentMemberships && look.resetEvent > Number(manifest.meta('reset_event') ?? 0);
  if (!state.resetPending && !state.databaseReplaced) {
    manifest.setMeta('reset_event', String(look.resetEvent));
    manifest.setMeta('event_sequence', String(look.eventSequence));
  }
  state.dirty.records = false;
  state.recordsVersion = version;
  return true;
}

/** Rebuilds the membership candidates; true where a recorded membership has no row. */
function surveyMemberships({ replica: { records }, manifest, state }: Context): boolean {
  const wanted = new Map<Key, string>();
  // With 100,000 memberships this map is the survey's largest piece; it lives only while the survey runs.
  for (const { key, hash } of manifest.presentHashes('membership')) wanted.set(key, hash);
  state.memberships.clear();
  records.eachMembership(
    (row) => {
      const key = membershipKey(row.slug, row.path);
      if (wanted.get(key) === contentHash({ copies: row.copies })) state.absentSince.delete(key);
      else state.memberships.set(key, row);
      wanted.delete(key);
    },
    ({ name, reason }) => state.problems.set(name, reason),
  );
  for (const key of wanted.keys()) state.memberships.set(key, absentCandidate(key));
  return wanted.size > 0;
}

function absentCandidate(key: Key): Candidate {
  const rest = key.slice('membership/'.length);
  const slash = rest.indexOf('/');
  return { slug: rest.slice(0, slash) as Slug, path: rest.slice(slash + 1) as DocPath, copies: [] };
}

/** Everything about one document may have changed. */
export function touch({ state }: Pick<Context, 'state'>, path: DocPath): void {
  state.documents.add(path);
  state.embeddings.add(path);
  state.absentSince.delete(documentKey(path));
}
