// Deletions: absence becomes an edit only when it has lasted, is complete, and passes the guard (invariant 6).
import {
  documentKey,
  embeddingKey,
  guard,
  kindOf,
  parseKey,
  reconcile,
  workspaceKey,
  type DocPath,
  type Key,
  type Kind,
  type Slug,
} from '@docbus/core';
import { requestMaterialise, type Context, type Mark } from './context.ts';
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
  for (const key of state.absentSince.keys())
    if (!absences.has(key)) {
      state.absentSince.delete(key);
      lookAtReturned(context, key);
    }
  const stillEmbedded = new Set([...state.stillEmbedded.keys()].map(documentKey));
  // What was approved and then embedded again was not meant like this.
  for (const { key, approved } of manifest.held())
    if (!absences.has(key) && (approved || !stillEmbedded.has(key))) {
      manifest.dropHeld(key);
      lookAtReturned(context, key);
    }
  let wakeAt: number | undefined;
  const lasting: Key[] = [];
  for (const key of absences) {
    const since = state.absentSince.get(key) ?? now;
    state.absentSince.set(key, since);
    if (now - since >= settings.settleMs) lasting.push(key);
    else wakeAt = Math.min(wakeAt ?? Infinity, since + settings.settleMs);
  }
  for (const { since } of state.stillEmbedded.values())
    for (const at of [since + settings.settleMs, since + settings.settleMs * STRANDED_SETTLES])
      if (at > now) wakeAt = Math.min(wakeAt ?? Infinity, at);
  sayStillEmbedded(context);
  if (lasting.length === 0 && stillEmbedded.size === 0) return { drafts: [], wakeAt };
  const released = passGuard(context, lasting);
  return { drafts: released.flatMap((key) => draftsOf(context, key)), wakeAt };
}

/** What others embedded while its rows were missing was not filled in. */
function lookAtReturned({ manifest }: Context, key: Key): void {
  if (kindOf(key) === 'membership' && manifest.entry(key)?.state === 'present') requestMaterialise(manifest, key);
}

/** A purge removes the file before the rows, and with a slow Chroma that takes a while; longer than so many settling times nothing does. */
const STRANDED_SETTLES = 30;

/** Documents whose file has been gone for longer than a purge usually takes, while rows hold them. */
function strandedFor({ state, clock, settings }: Context, settles: number): readonly (readonly [path: DocPath, slug: Slug])[] {
  return [...state.stillEmbedded].flatMap(([path, { slug, since }]) =>
    clock.now() - since >= settles * settings.settleMs ? [[path, slug] as const] : [],
  );
}

/** What a person has to know of them, one sentence each. */
export function strandedProblems(context: Context): readonly string[] {
  return strandedFor(context, 1).map(
    ([path, slug]) =>
      `${path}: the file is gone but the document is still embedded in the workspace ${slug}; put the file back (\`docbus deletes revert ${documentKey(path)}\`), or remove the document there`,
  );
}

function sayStillEmbedded(context: Context): void {
  const { state, logger } = context;
  const stranded = strandedFor(context, 1);
  if (stranded.length === state.stillEmbeddedSaid) return;
  state.stillEmbeddedSaid = stranded.length;
  if (stranded.length === 0) logger.info({}, 'no file of an embedded document is missing any more');
  else logger.warn({ count: stranded.length, first: stranded[0]?.[0] }, 'files are gone while their documents are still embedded');
}

/** Keys that are recorded as present here and are not on disk; memberships that nothing can apply any more among them. */
function findAbsences(context: Context): Set<Key> {
  const { manifest, replica, clock, state } = context;
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
  for (const path of state.stillEmbedded.keys()) if (!embedded.has(path)) state.stillEmbedded.delete(path);
  for (const path of gone) {
    const slug = embedded.get(path);
    if (slug === undefined) absences.add(documentKey(path));
    else state.stillEmbedded.set(path, { slug, since: state.stillEmbedded.get(path)?.since ?? clock.now() });
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

/**
 * Releases what may be published and holds the rest. Documents whose file is gone count although rows still hold them: a folder that was
 * emptied takes those in no workspace along. They are held so that a person can revert; nothing publishes them before their rows are gone.
 */
function passGuard(context: Context, lasting: readonly Key[]): readonly Key[] {
  const { manifest, replica, state, settings, clock, logger } = context;
  const now = clock.now();
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
    const judged = new Set(keys.filter((key) => !approved.has(key) && !implied(key)));
    const { present, unapplied } = counts[kind];
    const others = kind === 'document' ? state.stillEmbedded.size + heldAndYoung(context, keys) : 0;
    const verdict = guard(
      {
        kind,
        deletions: judged.size + others,
        recorded: present - unapplied,
        reset: state.resetPending,
        placeMissing: placeMissing(kind),
      },
      settings.guard,
    );
    const heldBefore = new Set(manifest.held().map(({ key }) => key));
    const toHold = new Map<Key, string>();
    for (const key of keys) {
      if (verdict.hold && judged.has(key)) {
        toHold.set(key, verdict.reason);
        continue;
      }
      released.push(key);
      const parsed = parseKey(key);
      if (parsed.kind === 'workspace') releasedWorkspaces.add(parsed.slug);
    }
    if (kind === 'document')
      for (const [path, slug] of strandedFor(context, verdict.hold ? 1 : STRANDED_SETTLES)) {
        const why = `its file went while it was embedded in the workspace ${slug}`;
        toHold.set(documentKey(path), verdict.hold ? `${verdict.reason}; ${why}` : why);
      }
    const fresh = [...toHold].filter(([key]) => !heldBefore.has(key));
    if (fresh.length === 0) continue;
    manifest.transaction(() => fresh.forEach(([key, reason]) => manifest.putHeld({ key, reason, since: now, approved: false })));
    logger.warn(
      { kind, count: toHold.size, reason: fresh[0]?.[1] },
      'deletions are held: look at them with `docbus deletes`, then approve or revert',
    );
  }
  return released;
}

/** Documents that were held before their rows went: for the moment that this absence takes to settle they would not be counted. */
function heldAndYoung({ manifest, state }: Context, lasting: readonly Key[]): number {
  const settled = new Set(lasting);
  return manifest
    .held()
    .filter(({ key, approved }) => kindOf(key) === 'document' && !approved && state.absentSince.has(key) && !settled.has(key)).length;
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
