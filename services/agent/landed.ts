// What an unfinished step has put on disk: other work, which may fail, comes before it can be recorded, and people may remove it
// meanwhile. A note that something is here must be true of the storage that the manifest is about: a volume that went away within the
// step may have swallowed the write, and after its return that note would make the loss look like somebody's removal.
import { parseKey, type Key } from '@docbus/core';
import type { Manifest } from '@docbus/replica/manifest.ts';
import { isBootstrapping, type Context } from './context.ts';
import { requirePlaces } from './places.ts';

type Landed = { readonly key: Key; readonly hash: string };

/** Notes documents and workspaces that have just been put on disk for good. Throws what `requirePlaces` throws. */
export function markLanded(context: Context, landed: readonly Landed[], { emptied }: { readonly emptied: boolean }): void {
  note(context, landed, emptied, ({ manifest, replica }, { key, hash }) => {
    const parsed = parseKey(key);
    if (parsed.kind !== 'document' || replica.documents.signature(parsed.path) !== undefined) manifest.markLanded(key, hash);
  });
}

/** The same of rows of memberships; those of an earlier change, which only came back here, are recorded again as applied. */
export function markRows(context: Context, rows: readonly (Landed & { readonly asked: boolean })[]): void {
  note(context, rows, true, ({ manifest }, { key, hash, asked }) =>
    asked ? manifest.markLanded(key, hash) : manifest.setApplied(key, true),
  );
}

/** A replica that is being rebuilt is not yet used by people. */
function note<T>(context: Context, landed: readonly T[], emptied: boolean, mark: (context: Context, one: T) => void): void {
  const { manifest } = context;
  if (landed.length === 0 || isBootstrapping(manifest)) return;
  requirePlaces(context, { emptied });
  manifest.transaction(() => landed.forEach((one) => mark(context, one)));
}

/**
 * Asked of what is not here: true where an earlier try of this step put it here, so that somebody removed it since. It is not put again
 * but recorded, and then its absence is an edit like any other.
 */
export function wasRemovedHere(manifest: Manifest, { key, hash }: Landed): boolean {
  return !isBootstrapping(manifest) && manifest.hasLanded(key, hash);
}
