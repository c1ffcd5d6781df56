// A large batch of winners in groups that have nothing to do with each other: everything about one path is in one group. So a group
// can be made ready while the vectors of the group before it are on their way, and be recorded by itself.
import { kindOf, parseKey, type Change, type DocPath, type EmbeddingContent, type Key } from '@docbus/core';
import { isBootstrapping, type Context } from './context.ts';

export type Winner = { readonly change: Change; readonly packed: Uint8Array | undefined };

export type Group = {
  readonly winners: readonly Winner[];
  readonly keys: ReadonlySet<Key>;
  /** begins only when the group before it is recorded */
  readonly alone: boolean;
  /** others follow, so that what does not fill a request may wait for them */
  readonly more: boolean;
};

/** At least one group. Workspaces come first, because memberships need them; deletions come last. */
export function groupsOf({ manifest, settings }: Pick<Context, 'manifest' | 'settings'>, winners: readonly Winner[]): readonly Group[] {
  const { vectorsPerRequest, groupDocumentsMax } = settings;
  const vectorsMax = isBootstrapping(manifest) ? vectorsPerRequest.bootstrapping : vectorsPerRequest.following;
  const workspaces: Winner[] = [];
  const byPath = new Map<DocPath, Winner[]>();
  for (const winner of winners) {
    const path = pathIn(winner.change.key);
    if (path === undefined) workspaces.push(winner);
    else if (byPath.get(path)?.push(winner) === undefined) byPath.set(path, [winner]);
  }
  if (byPath.size <= groupDocumentsMax && vectorsIn(winners) <= vectorsMax) return [groupOf(winners, true, false)];

  const isDeletion = ({ change }: Winner): boolean => change.state === 'deleted';
  const first = workspaces.filter((winner) => !isDeletion(winner));
  const rest = workspaces.filter(isDeletion);
  const chunks: Winner[][] = [];
  let chunk: Winner[] = [];
  let [paths, vectors] = [0, 0];
  for (const some of byPath.values()) {
    if (some.some(isDeletion)) {
      rest.push(...some);
      continue;
    }
    chunk.push(...some);
    paths += 1;
    vectors += vectorsIn(some);
    if (paths < groupDocumentsMax && vectors < vectorsMax) continue;
    chunks.push(chunk);
    chunk = [];
    paths = vectors = 0;
  }
  if (chunk.length > 0) chunks.push(chunk);
  return [
    ...(first.length > 0 ? [groupOf(first, true, false)] : []),
    ...chunks.map((some, i) => groupOf(some, i === 0, i < chunks.length - 1)),
    ...(rest.length > 0 ? [groupOf(rest, true, false)] : []),
  ];
}

function groupOf(winners: readonly Winner[], alone: boolean, more: boolean): Group {
  return { winners, keys: new Set(winners.map(({ change }) => change.key)), alone, more };
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
