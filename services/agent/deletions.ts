// Deletions: absence becomes an edit only when it has lasted, is complete, and passes the guard (invariant 6).
import { documentKey, embeddingKey, guard, kindOf, parseKey, reconcile, workspaceKey, type Key, type Kind, type Slug } from '@docbus/core';
import type { Context, Mark } from './context.ts';
import type { Draft } from './collect.ts';
import { examineContent, examineDocument, knownOf } from './examine.ts';

export type Deletions = {
  readonly drafts: readonly Draft[];
  /** when the youngest absence will have lasted, in milliseconds of the clock */ readonly wakeAt: number | undefined;
};

/** Drafts of the deletions that may be published now. Holds the others: in the manifest where the guard says so, in memory where they are young. */
export function collectDeletions(context: Context): Deletions {
  const { manifest, clock, settings, state } = context;
  const now = clock.now();
  const absences = findAbsences(context);
  for (const key of state.absentSince.keys()) if (!absences.has(key)) state.absentSince.delete(key);
  for (const { key } of manifest.held()) if (!absences.has(key)) manifest.dropHeld(key);
  let wakeAt: number | undefined;
  const lasting: Key[] = [];
  for (const key of absences) {
    const since = state.absentSince.get(key) ?? now;
    state.absentSince.set(key, since);
    if (now - since >= settings.settleMs) lasting.push(key);
    else wakeAt = Math.min(wakeAt ?? Infinity, since + settings.settleMs);
  }
  if (lasting.length === 0) return { drafts: [], wakeAt };
  const released = passGuard(context, lasting);
  return { drafts: released.flatMap((key) => draftsOf(context, key)), wakeAt };
}

/** Keys that are recorded as present here and are not on disk; memberships that nothing can apply any more among them. */
function findAbsences(context: Context): Set<Key> {
  const { manifest, replica, state } = context;
  const absences = new Set<Key>();
  // A candidate whose absence is recorded by now is none any more; it would be shown as unpublished until the database changes again.
  for (const [key, { copies }] of state.memberships) {
    if (copies.length > 0) continue;
    if (examineContent(manifest, key, undefined).edit === 'delete') absences.add(key);
    else state.memberships.delete(key);
  }
  for (const { key } of orphans(context)) absences.add(key);
  for (const slug of state.workspaces) {
    const key = workspaceKey(slug);
    if (replica.records.workspace(slug) !== undefined) continue;
    if (examineContent(manifest, key, undefined).edit === 'delete') absences.add(key);
    else state.workspaces.delete(slug);
  }
  const gone = [...state.documents].filter((path) => {
    const look = examineDocument(context, path);
    if (look.picture !== 'unsettled' && look.picture.state === 'absent' && look.edit !== 'delete') {
      state.documents.delete(path);
      manifest.dropFile('document', path);
    }
    return look.edit === 'delete';
  });
  // AnythingLLM removes the files before the rows, and where Chroma is down the rows stay: the rows decide (reference, pitfall 17).
  const embedded = new Map(gone.length === 0 ? [] : replica.records.membershipsOf(gone).map(({ path, slug }) => [path, slug]));
  for (const path of gone) {
    const slug = embedded.get(path);
    if (slug === undefined) {
      state.problems.delete(path);
      absences.add(documentKey(path));
    } else
      state.problems.set(
        path,
        `the file is gone but the document is still embedded in the workspace ${slug}; remove it there, or restore the file`,
      );
  }
  return absences;
}

/** A membership whose workspace or document was deleted on this replica meanwhile: whoever deleted cleans up, once. */
function orphans({ manifest, settings }: Context): readonly { readonly key: Key }[] {
  return manifest.unappliedMemberships().filter(({ key }) => {
    const parsed = parseKey(key);
    if (parsed.kind !== 'membership') return false;
    return [workspaceKey(parsed.slug), documentKey(parsed.path)].some((needed) => {
      const entry = manifest.entry(needed);
      return entry?.state === 'deleted' && entry.version.replica === settings.replicaId;
    });
  });
}

function passGuard(context: Context, lasting: readonly Key[]): readonly Key[] {
  const { manifest, replica, state, settings, clock, logger } = context;
  const approved = new Set(
    manifest
      .held()
      .filter((held) => held.approved)
      .map(({ key }) => key),
  );
  const counts = manifest.counts();
  const released: Key[] = [];
  const byKind = Map.groupBy(lasting, kindOf);
  const placeMissing = (kind: Kind): boolean => (kind === 'document' ? !replica.documents.exists() : state.databaseReplaced);
  const releasedWorkspaces = new Set<Slug>();
  // Workspaces first: the memberships of a workspace that was deleted on purpose follow from it.
  for (const kind of ['workspace', 'membership', 'document'] as const) {
    const keys = byKind.get(kind) ?? [];
    const implied = (key: Key): boolean => {
      const parsed = parseKey(key);
      if (parsed.kind !== 'membership') return false;
      return (
        releasedWorkspaces.has(parsed.slug) ||
        manifest.entry(workspaceKey(parsed.slug))?.state === 'deleted' ||
        manifest.entry(documentKey(parsed.path))?.state === 'deleted'
      );
    };
    const judged = keys.filter((key) => !approved.has(key) && !implied(key));
    const { present, unapplied } = counts[kind];
    const verdict = guard(
      { kind, deletions: judged.length, recorded: present - unapplied, reset: state.resetPending, placeMissing: placeMissing(kind) },
      settings.guard,
    );
    const heldBefore = new Set(manifest.held().map(({ key }) => key));
    for (const key of keys) {
      if (verdict.hold && judged.includes(key)) {
        if (!heldBefore.has(key)) manifest.putHeld({ key, reason: verdict.reason, since: clock.now(), approved: false });
        continue;
      }
      released.push(key);
      const parsed = parseKey(key);
      if (parsed.kind === 'workspace') releasedWorkspaces.add(parsed.slug);
    }
    if (verdict.hold && judged.some((key) => !heldBefore.has(key)))
      logger.warn(
        { kind, count: judged.length, reason: verdict.reason },
        'deletions are held: look at them with `docbus deletes`, then approve or revert',
      );
  }
  return released;
}

/** A document's embedding goes with it; nothing else ever deletes an embedding. */
function draftsOf(context: Context, key: Key): readonly Draft[] {
  const parsed = parseKey(key);
  const drop = (place: Mark['place']): Mark[] => ('path' in parsed ? [{ place, path: parsed.path, mark: undefined }] : []);
  const own: Draft = {
    key,
    state: 'deleted',
    hash: '',
    content: null,
    packed: undefined,
    marks: parsed.kind === 'document' ? drop('document') : [],
  };
  if (parsed.kind !== 'document') return [own];
  const embedding = embeddingKey(parsed.path);
  const known = knownOf(context.manifest, embedding);
  if (reconcile({ state: 'absent' }, known) !== 'delete') return [own];
  return [own, { key: embedding, state: 'deleted', hash: '', content: null, packed: undefined, marks: drop('cache') }];
}

/** A document's embedding right behind it: an embedding that is deleted while its document stays is another matter, see revive.ts. */
const rank: Record<Kind, number> = { membership: 0, workspace: 1, document: 2, embedding: 2 };

/** In the order in which they go into the log (what depends on something before it), at most about so many. */
export function firstDeletions(drafts: readonly Draft[], max: number): readonly Draft[] {
  const all = drafts.toSorted((a, b) => rank[kindOf(a.key)] - rank[kindOf(b.key)]);
  const next = all[max];
  // Nothing would look for the embedding of a document whose deletion is recorded.
  return all.slice(0, next !== undefined && kindOf(next.key) === 'embedding' ? max + 1 : max);
}
