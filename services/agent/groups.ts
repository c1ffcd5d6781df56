// A large batch of winners in groups that have nothing to do with each other: everything about one path is in one group. So a group
// can be made ready while the vectors of the groups before it are on their way, and be recorded by itself.
import { kindOf, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { isBootstrapping, type Context } from './context.ts';

export type Winner = { readonly change: Change; readonly packed: Uint8Array | undefined };

export type Group = {
  readonly winners: readonly Winner[];
  readonly keys: ReadonlySet<Key>;
  readonly paths: ReadonlySet<DocPath>;
  /** how large it is, 1 being as large as a group may be (but for one document that is larger) */
  readonly load: number;
  /** begins only when all groups before it are recorded; otherwise when those are that concern the same paths */
  readonly needsPrevious: boolean;
  /** the group after it begins only when this one is recorded */
  readonly isNeeded: boolean;
};

export type GroupsOptions = {
  /** paths of groups that are still under way */
  readonly isBusy: (path: DocPath) => boolean;
  /** the load of the largest group that is under way, 0 where none is */
  readonly largestLoad: number;
};

/** At least one group. Workspaces come first, because memberships need them; deletions come last. */
export function groupsOf(
  { manifest, settings }: Pick<Context, 'manifest' | 'settings'>,
  winners: readonly Winner[],
  { isBusy, largestLoad }: GroupsOptions,
): readonly Group[] {
  const { vectorsPerRequest, groupDocumentsMax } = settings;
  const isRebuild = isBootstrapping(manifest);
  const vectorsMax = isRebuild ? vectorsPerRequest.bootstrapping : vectorsPerRequest.following;
  const groupOf = (some: readonly Winner[], flags: Pick<Group, 'needsPrevious' | 'isNeeded'>): Group => {
    const keys = some.map(({ change }) => change.key);
    const about = new Set(keys.flatMap((key) => pathIn(key) ?? []));
    const load = Math.max(vectorsIn(some) / vectorsMax, about.size / groupDocumentsMax);
    return { winners: some, keys: new Set(keys), paths: about, load, ...flags };
  };
  const workspaces: Winner[] = [];
  const byPath = new Map<DocPath, Winner[]>();
  for (const winner of winners) {
    const path = pathIn(winner.change.key);
    if (path === undefined) workspaces.push(winner);
    else if (byPath.get(path)?.push(winner) === undefined) byPath.set(path, [winner]);
  }
  const isSmall = byPath.size <= groupDocumentsMax && vectorsIn(winners) <= vectorsMax;
  const isBound = workspaces.length > 0 || [...byPath.keys()].some(isBusy);
  const isMixed = (isBound && !isRebuild) || winners.some(isDeletion);
  if (isSmall && (isMixed || winners.length === 0)) return [groupOf(winners, { needsPrevious: true, isNeeded: true })];

  const first = workspaces.filter((winner) => !isDeletion(winner));
  const rest = workspaces.filter(isDeletion);
  const paths = [...byPath].filter(([, some]) => !some.some(isDeletion));
  rest.push(...[...byPath].flatMap(([, some]) => (some.some(isDeletion) ? some : [])));
  // The sooner the first request is on its way, and the next before that one is answered, the less the server waits for us.
  const firstVectors = Math.max(vectorsPerRequest.following, 2 * largestLoad * vectorsMax);
  const limits = { firstVectors, vectors: vectorsMax, documents: groupDocumentsMax };
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
    // They begin when what is under way about their paths is recorded; the others have given it time.
    ...busy.map((some) => groupOf(some, { needsPrevious: false, isNeeded: false })),
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
