// merge picks one winner for a key, the same one on every replica in whatever order the changes come.
// The result of merging a set of changes is the greatest stamp: commutative, associative and idempotent (invariant 5).
import { compareStamp, type Base, type Stamp } from './version.ts';

/** 'take': the change wins over what is known. 'same': it is what is known. 'keep': it loses. */
export type Verdict = 'take' | 'same' | 'keep';

export function merge(known: Stamp | undefined, change: Stamp): Verdict {
  if (known === undefined) return 'take';
  const order = compareStamp(change, known);
  return order > 0 ? 'take' : order === 0 ? 'same' : 'keep';
}

/**
 * True where `winner` replaces `loser` without having been based on it, and the loser said something else. Two contents under one
 * version (two agents with one replica id, or one that lost its memory) are a conflict too.
 */
export function isConflict(winner: Stamp & { readonly base: Base }, loser: Stamp): boolean {
  if (loser.state === winner.state && loser.hash === winner.hash) return false;
  return (winner.base[loser.version.replica] ?? 0) < loser.version.revision;
}
