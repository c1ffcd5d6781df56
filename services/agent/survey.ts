// survey turns "look there" into candidate keys, cheaply: stat signatures against marks, rows against entries.
// It decides nothing: examine.ts looks at each candidate exactly before anything is published.
import { contentHash, documentKey, membershipKey, workspaceKey, type DocPath, type Slug } from '@docbus/core';
import { compareUtf8 } from '@docbus/replica/order.ts';
import type { Context, Scope } from './context.ts';
import { noticeNewVectors } from './new-vectors.ts';

/** Notes where to look at the next survey. */
export function markDirty({ state: { dirty } }: Pick<Context, 'state'>, scope: Scope): void {
  if (scope.all) dirty.allFiles = dirty.records = true;
  if (scope.sweep) dirty.sweep = true;
  for (const folder of scope.folders ?? []) dirty.folders.add(folder);
  for (const path of scope.paths ?? []) dirty.paths.add(path);
  if (scope.records) dirty.records = true;
}

/** Looks at the files that hints or a sweep named, and adds candidates. Synchronous: no edit of our own can come between. */
export function surveyFiles(context: Context): void {
  const { replica, manifest, state, clock, settings } = context;
  const { dirty, swept } = state;
  const version = dirty.sweep ? replica.records.version() : undefined;
  // AnythingLLM completes nothing without a row. What it leaves unfinished (or somebody changes by hand) may wait for the next whole sweep.
  const isWhole = version !== undefined && (version !== swept?.version || clock.now() - swept.at >= settings.wholeSweepMs);
  if (isWhole) dirty.allFiles = dirty.records = true;
  for (const path of dirty.paths) {
    state.documents.add(path);
    state.embeddings.add(path);
  }
  const hinted = new Set(dirty.folders);
  if (dirty.allFiles || dirty.sweep) {
    for (const place of dirty.allFiles ? (['document', 'cache'] as const) : (['document'] as const)) {
      state.problems[place].clear();
      state.unsettled[place].clear();
    }
    for (const folder of new Set([...replica.documents.folders(), ...manifest.markedFolders()])) dirty.folders.add(folder);
    for (const path of manifest.unmarkedDocuments()) state.documents.add(path);
  }
  for (const folder of dirty.folders) surveyFolder(context, folder, { withCaches: dirty.allFiles || hinted.has(folder) });
  if (isWhole) state.swept = { version, at: clock.now() };
  dirty.allFiles = dirty.sweep = false;
  dirty.paths.clear();
  dirty.folders.clear();
}

/** Merge-join of a directory listing with the marks of the same folder; both are in name order. */
function surveyFolder(
  { replica: { documents, caches }, manifest, state }: Context,
  folder: string,
  { withCaches }: { readonly withCaches: boolean },
): void {
  const { paths, problems } = documents.list(folder);
  for (const { name, reason } of problems) state.problems.document.set(name, reason);
  const marks = manifest.folderMarks(folder, { withCaches });
  let mark = next(marks);
  for (const path of paths) {
    while (mark !== undefined && compareUtf8(mark.path, path) < 0) {
      state.documents.add(mark.path);
      mark = next(marks);
    }
    const known = mark?.path === path ? mark : undefined;
    if (known !== undefined) mark = next(marks);
    if (known === undefined || !known.isDocumentRecorded || documents.signature(path) !== known.document) state.documents.add(path);
    // Nothing tells how the cache of an unknown document was.
    if (known === undefined && withCaches) state.embeddings.add(path);
    // A cache whose embedding is not recorded says nothing by itself: the row of workspace_documents is what completes an embed.
    if (known !== undefined && known.isCacheRecorded !== null) {
      const signature = caches.signature(path);
      if (signature !== undefined && (signature !== known.cache || !known.isCacheRecorded)) state.embeddings.add(path);
    }
  }
  for (; mark !== undefined; mark = next(marks)) state.documents.add(mark.path);
}

function next<T>(stream: Generator<T>): T | undefined {
  const { value, done } = stream.next();
  return done === true ? undefined : value;
}

/**
 * Looks at the database where it changed since the last look. The candidates for workspaces and memberships are rebuilt whole,
 * so they are exact as of this database version. Returns false where nothing was looked at.
 */
export function surveyRecords(context: Context): boolean {
  const { replica, manifest, state } = context;
  const version = replica.records.version();
  if (!state.dirty.records && version === state.recordsVersion && !isPinsLookDue(context, version)) return false;
  const look = replica.records.look();

  state.databaseReplaced = look.eventSequence < Number(manifest.meta('event_sequence') ?? 0);
  state.workspaces.clear();
  state.problems.workspace.clear();
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
  const mark = replica.records.membershipsMark();
  const isPinned = isPinsLookDue(context, version) && lookAtPins(context, version);
  const absentMemberships =
    state.dirty.records || mark !== state.membershipsMark || isPinned
      ? surveyMemberships(context)
      : [...state.memberships.values()].some(({ copies }) => copies.length === 0);
  state.membershipsMark = mark;

  const isReset = !state.databaseReplaced && look.resetEvent > Number(manifest.meta('reset_event') ?? 0);
  if (isReset) manifest.dropLandedRows();
  state.resetPending = absentMemberships && look.resetEvent > Number(manifest.meta('reset_event') ?? 0);
  if (!state.resetPending && !state.databaseReplaced) {
    for (const [name, value] of [
      ['reset_event', String(look.resetEvent)],
      ['event_sequence', String(look.eventSequence)],
    ] as const)
      if (manifest.meta(name) !== value) manifest.setMeta(name, value);
    noticeNewVectors(context);
  }
  state.dirty.records = false;
  state.recordsVersion = version;
  return true;
}

/** In a large library with much chat, looking at all pins after each message would take most of what the agent takes at all. */
const PINS_PAUSE = 100;
/** What the look waited for (AnythingLLM's lock) is no reason to wait for minutes. */
const PINS_PAUSE_MS_MAX = 5_000;

function isPinsLookDue({ state: { pins }, clock }: Context, version: string): boolean {
  return version !== pins.version && clock.now() >= pins.dueAt;
}

/** True where something was pinned or unpinned. The next look comes after a pause that is a hundred times as long as this one took. */
function lookAtPins({ replica, state: { pins }, clock }: Context, version: string): boolean {
  const began = clock.now();
  const mark = replica.records.pinsMark();
  const ended = clock.now();
  const isChanged = mark !== pins.mark;
  Object.assign(pins, { mark, version, dueAt: ended + Math.min(PINS_PAUSE * (ended - began), PINS_PAUSE_MS_MAX) });
  return isChanged;
}

/** Rebuilds the membership candidates, a merge-join of rows and entries by slug and path; true where a recorded membership has no row. */
function surveyMemberships({ replica: { records }, manifest, state }: Context): boolean {
  const entries = manifest.presentMemberships();
  let entry = next(entries);
  let absent = false;
  const passEntriesBefore = (slug: Slug | undefined, path: DocPath | undefined): void => {
    for (; entry !== undefined && (slug === undefined || path === undefined || isBefore(entry, slug, path)); entry = next(entries)) {
      state.memberships.set(membershipKey(entry.slug, entry.path), { slug: entry.slug, path: entry.path, copies: [] });
      absent = true;
    }
  };
  state.memberships.clear();
  state.problems.row.clear();
  records.eachMembership(
    (row) => {
      passEntriesBefore(row.slug, row.path);
      const known = entry !== undefined && entry.path === row.path && entry.slug === row.slug ? entry : undefined;
      if (known !== undefined) entry = next(entries);
      const key = membershipKey(row.slug, row.path);
      if (known?.hash === contentHash({ copies: row.copies })) state.absentSince.delete(key);
      else state.memberships.set(key, row);
    },
    ({ name, reason }) => state.problems.row.set(name, reason),
  );
  passEntriesBefore(undefined, undefined);
  return absent;
}

function isBefore(entry: { readonly slug: Slug; readonly path: DocPath }, slug: Slug, path: DocPath): boolean {
  return entry.slug === slug ? compareUtf8(entry.path, path) < 0 : compareUtf8(entry.slug, slug) < 0;
}

/** Everything about one document may have changed. */
export function touch({ state }: Pick<Context, 'state'>, path: DocPath): void {
  state.documents.add(path);
  state.embeddings.add(path);
  state.absentSince.delete(documentKey(path));
}
