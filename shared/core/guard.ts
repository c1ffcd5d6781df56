// The delete guard: absence is not deletion (invariant 6). It looks at all deletions of one look together and holds
// those that look like a lost volume or a reset rather than like a person removing things.
import type { Kind } from './key.ts';

/** Held are deletions of more than `count` keys of a kind that are also more than `share` (0 to 1) of all of that kind. */
export type GuardLimits = { readonly count: number; readonly share: number };

export const defaultGuardLimits: GuardLimits = { count: 10, share: 0.2 };

export type GuardLook = {
  readonly kind: Kind;
  /** deletions of this kind in this look, plus those already held; memberships of a deleted workspace and embeddings of a deleted document are not counted: they follow from it */
  readonly deletions: number;
  /** present and applied entries of this kind before this look */
  readonly recorded: number;
  /** AnythingLLM logged `workspace_vectors_reset` since the last look */
  readonly reset: boolean;
  /** the place that holds this kind is itself missing, or has no folder in it (documents/), or was replaced by a younger one (the database) */
  readonly placeMissing: boolean;
};

export type GuardVerdict = { readonly hold: false } | { readonly hold: true; readonly reason: string };

export function guard(look: GuardLook, limits: GuardLimits): GuardVerdict {
  const { kind, deletions, recorded, reset, placeMissing } = look;
  if (deletions === 0) return { hold: false };
  if (placeMissing) return { hold: true, reason: `the place of every ${kind} is missing, empty or replaced` };
  if (reset && kind === 'membership') return { hold: true, reason: 'the vector store was reset in AnythingLLM' };
  if (deletions > limits.count && deletions > recorded * limits.share)
    return {
      hold: true,
      reason: `${deletions} of ${recorded} (${kind}) vanished at once, more than ${limits.count} and ${Math.round(limits.share * 100)} %`,
    };
  return { hold: false };
}
