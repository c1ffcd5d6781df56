// A large batch of winners in groups that have nothing to do with each other: everything about one path is in one group. So a group
// can be made ready while the vectors of the groups before it are on their way, and be recorded by itself.
import { kindOf, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { isBootstrapping, type Context } from './context.ts';

export type Winner = { readonly change: Change; readonly packed: Uint8Array | undefined };

export type Group = {
  readonly winners: readonly Winner[];
  readonly keys: ReadonlySet<Key>;
  readonly paths: ReadonlySet<DocPath>;
  /** begins only when the groups before it are recorded */
  readonly needsPrevious: boolean;
  /** the group after it begins only when this one is recorded */
  readonly isNeeded: boolean;
};

export type GroupsOptions = {
  /** paths of groups that are still under way */
  readonly isBusy: (path: DocPath) => boolean;
  /** nothing is under way */
  readonly isIdle: boolean;
};

/** At least one group. Workspaces come first, because memberships need them; deletions come last. */
export function groupsOf(
  { manifest, settings }: Pick<Context, 'manifest' | 'settings'>,
  winners: readonly Winner[],
  { isBusy, isIdle }: GroupsOptions,
): readonly Group[] {
  const { vectorsPerRequest, groupDocumentsMax } = settings;
  const vectorsMax = isBootstrapping(manifest) ? vectorsPerRequest.bootstrapping : vectorsPerRequest.following;
  const workspaces: Winner[] = [];
  const byPath = new Map<DocPath, Winner[]>();
  for (const winner of winners) {
    const path = pathIn(winner.change.key);
    if (path === undefined) workspaces.push(winner);
    else if (byPath.get(path)?.push(winner) === undefined) byPath.set(path, [winner]);
  }
  const isSmall = byPath.size <= groupDocumentsMax && vectorsIn(winners) <= vectorsMax;
  const isMixed = workspaces.length > 0 || winners.some(isDeletion) || [...byPath.keys()].some(isBusy);
  if (isSmall && (isMixed || winners.length === 0)) return [groupOf(winners, { needsPrevious: true, isNeeded: true })];

  const first = workspaces.filter((winner) => !isDeletion(winner));
  const rest = workspaces.filter(isDeletion);
  const paths = [...byPath].filter(([, some]) => !some.some(isDeletion));
  rest.push(...[...byPath].flatMap(([, some]) => (some.some(isDeletion) ? some : [])));
  // The sooner the first request is on its way, the less the server waits for us.
  const limits = { firstVectors: isIdle ? vectorsPerRequest.following : vectorsMax, vectors: vectorsMax, documents: groupDocumentsMax };
  const free = portionsOf(
    paths.filter(([path]) => !isBusy(path)),
    limits,
  );
  const busy = portionsOf(
    paths.filter(([path]) => isBusy(path)),
    limits,
  );
  return [
    ...(first.length > 0 ? [groupOf(first, { needsPrevious: true, isNeeded: true })] : []),
    ...free.map((some) => groupOf(some, { needsPrevious: false, isNeeded: false })),
    // Once the first of them has waited, what all of them wait for is recorded.
    ...busy.map((some, i) => groupOf(some, { needsPrevious: i === 0, isNeeded: false })),
    ...(rest.length > 0 ? [groupOf(rest, { needsPrevious: true, isNeeded: true })] : []),
  ];
}

type PortionLimits = { readonly firstVectors: number; readonly vectors: number; readonly documents: number };

/** Portions about equally large, after a few that grow to that size. Each fits one request, but for documents that are larger than one. */
function portionsOf(paths: readonly (readonly [DocPath, readonly Winner[]])[], limits: PortionLimits): Winner[][] {
  const portions: Winner[][] = [];
  let rest = paths.reduce((sum, [, some]) => sum + vectorsIn(some), 0);
  let most = Math.min(limits.firstVectors, limits.vectors);
  let portion: Winner[] = [];
  let [documents, vectors] = [0, 0];
  const close = (): void => {
    if (documents === 0) return;
    portions.push(portion);
    portion = [];
    rest -= vectors;
    documents = vectors = 0;
    most = Math.min(most * 2, limits.vectors);
  };
  for (const [, some] of paths) {
    const more = vectorsIn(some);
    if (vectors + more > most) close();
    portion.push(...some);
    documents += 1;
    vectors += more;
    if (documents >= limits.documents || vectors >= rest / Math.ceil(rest / most)) close();
  }
  close();
  return portions;
}

function groupOf(winners: readonly Winner[], flags: Pick<Group, 'needsPrevious' | 'isNeeded'>): Group {
  const keys = winners.map(({ change }) => change.key);
  return { winners, keys: new Set(keys), paths: new Set(keys.flatMap((key) => pathIn(key) ?? [])), ...flags };
}

function isDeletion({ change }: Winner): boolean {
  return change.state === 'deleted';
}

function vectorsIn(winners: readonly Winner[]): number {
  return winners.reduce(
    (sum, { change: { key, content } }) =>
      sum + (content !== null && kindOf(key) === 'embedding' ? (content as EmbeddingContent).chunks : 0),
    0,
  );
}

export function pathIn(key: Key): DocPath | undefined {
  const parsed = parseKey(key);
  return 'path' in parsed ? parsed.path : undefined;
}
