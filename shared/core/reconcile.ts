// reconcile compares, key by key, what is on disk (the picture) with what was last recorded (the entry).
// The difference is an edit. Pure: the shell fetches pictures and entries, and acts on edits.
import type { Stamp } from './version.ts';

/** What the scan sees of one key: the hash of what is there, or that nothing is there. */
export type Picture = { readonly state: 'present'; readonly hash: string } | { readonly state: 'absent' };

export const absent: Picture = { state: 'absent' };

/**
 * What the manifest knows of one key on this replica.
 * `applied` is false for an entry that waits for something else (a membership whose workspace is gone): its absence is no edit.
 * `intents` is what docbus itself has been about to put there since the entry was recorded: a difference that equals one is ours.
 */
export type Known = {
  readonly entry: (Stamp & { readonly applied: boolean }) | undefined;
  readonly intents: readonly Picture[];
};

/** 'put' and 'delete' are edits; 'none': disk and manifest agree, or the difference is our own work. */
export type Edit = 'put' | 'delete' | 'none';

export function reconcile(picture: Picture, known: Known): Edit {
  const { entry, intents } = known;
  if (intents.some((intent) => samePicture(picture, intent))) return 'none';
  const recordedPresent = entry !== undefined && entry.state === 'present';
  if (picture.state === 'present') return recordedPresent && entry.hash === picture.hash ? 'none' : 'put';
  return recordedPresent && entry.applied ? 'delete' : 'none';
}

export function samePicture(a: Picture, b: Picture): boolean {
  return a.state === b.state && (a.state === 'absent' || (b.state === 'present' && a.hash === b.hash));
}
