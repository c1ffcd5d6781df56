// A large batch of winners in groups that have nothing to do with each other: everything about one path is in one group. So a group
// can be made ready while the vectors of the group before it are on their way, and be recorded by itself.
import { kindOf, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { isBootstrapping, type Context } from './context.ts';

export type Winner = { readonly change: Change; readonly packed: Uint8Array | undefined };

export type Group = {
  readonly winners: readonly Winner[];
  readonly keys: ReadonlySet<Key>;
  readonly paths: ReadonlySet<DocPath>;
  /** begins only when the group before it is recorded */
  readonly needsPrevious: boolean;
  /** the group after it begins only when this one is recorded */
  readonly isNeeded: boolean;
  /** others follow, so that what does not fill a request may wait for them */
  readonly more: boolean;
};

export type GroupsOptions = {
  /** other winners follow these */
  readonly more: boolean;
  /** paths of a group that is still under way */
  readonly isBusy: (path: DocPath) => boolean;
};

/** At least one group. Workspaces come first, because memberships need them; deletions come last. */
export function groupsOf(
  { manifest, settings }: Pick<Context, 'manifest' | 'settings'>,
  winners: readonly Winner[],
  { more, isBusy }: GroupsOptions,
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
  if (isSmall && (isMixed || winners.length === 0)) return [groupOf(winners, { needsPrevious: true, isNeeded: true, more })];

  const first = workspaces.filter((winner) => !isDeletion(winner));
  const rest = workspaces.filter(isDeletion);
  const paths = [...byPath].filter(([, some]) => !some.some(isDeletion));
  rest.push(...[...byPath].flatMap(([, some]) => (some.some(isDeletion) ? some : [])));
  const chunks = [
    ...chunksOf(
      paths.filter(([path]) => !isBusy(path)),
      vectorsMax,
      groupDocumentsMax,
    ),
    // By then what they wait for is recorded.
    ...chunksOf(
      paths.filter(([path]) => isBusy(path)),
      vectorsMax,
      groupDocumentsMax,
    ),
  ];
  const startsBusy = chunks[0]?.some(({ change: { key } }) => isBusy(pathIn(key) as DocPath)) === true;
  return [
    ...(first.length > 0 ? [groupOf(first, { needsPrevious: true, isNeeded: true, more: false })] : []),
    ...chunks.map((some, i) =>
      groupOf(some, { needsPrevious: i === 0 && startsBusy, isNeeded: false, more: more || i < chunks.length - 1 }),
    ),
    ...(rest.length > 0 ? [groupOf(rest, { needsPrevious: true, isNeeded: true, more: false })] : []),
  ];
}

function chunksOf(paths: readonly (readonly [DocPath, readonly Winner[]])[], vectorsMax: number, documentsMax: number): Winner[][] {
  const chunks: Winner[][] = [];
  let chunk: Winner[] = [];
  let [documents, vectors] = [0, 0];
  for (const [, some] of paths) {
    chunk.push(...some);
    documents += 1;
    vectors += vectorsIn(some);
    if (documents < documentsMax && vectors < vectorsMax) continue;
    chunks.push(chunk);
    chunk = [];
    documents = vectors = 0;
  }
  return chunk.length > 0 ? [...chunks, chunk] : chunks;
}

function groupOf(winners: readonly Winner[], flags: Pick<Group, 'needsPrevious' | 'isNeeded' | 'more'>): Group {
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
