// What is on disk and gives way to a winner: an edit that nobody has published goes first, or is kept aside (invariant 1).
import { DocbusError, formatVersion, type DocPath, type Key } from '@docbus/core';
import type { Recorded } from '@docbus/replica/manifest.ts';
import type { Work } from './apply-work.ts';
import { conflictId } from './conflict-files.ts';
import { isBootstrapping, type Context, type Mark } from './context.ts';
import { examineDocument } from './examine.ts';

/** How long a half-written file may stand in the way of an incoming version. */
const UNSETTLED_PATIENCE = 10;

/** What is at the path, after making sure that writing or removing it loses nothing. */
export function makeWay(
  { context, overruled }: Work,
  key: Key,
  path: DocPath,
  incoming: string | undefined,
): { readonly hash: string; readonly marks: readonly Mark[] } | undefined {
  const { manifest, clock, settings, state, conflicts } = context;
  const look = examineDocument(context, path);
  if (look.picture === 'unsettled') {
    // One that is too large, or is no regular file, is somebody's all the same and cannot be kept aside: it refuses the change.
    context.replica.documents.read(path);
    const since = state.absentSince.get(key) ?? clock.now();
    state.absentSince.set(key, since);
    if (clock.now() - since < settings.settleMs * UNSETTLED_PATIENCE)
      throw new DocbusError('aborted', `${path} is being written here; waiting for it before applying a change of it.`);
    return undefined; // it has not become JSON: nothing that AnythingLLM could use is lost
  }
  if (look.picture.state === 'absent') return undefined;
  // The copy on disk is what is being applied: adopted, no conflict.
  if (look.edit === 'put' && look.picture.hash !== incoming) {
    if (!mayOverrule({ context, overruled }, key))
      throw new DocbusError('aborted', `${path} was changed here and not yet published; publishing it first.`);
    if (look.value !== undefined)
      recordOverruled(context, key, conflicts.save(key, `local-${look.picture.hash.slice(0, 12)}`, look.value), manifest.entry(key));
  }
  return { hash: look.picture.hash, marks: look.marks };
}

function recordOverruled({ manifest, clock, logger, settings }: Context, key: Key, file: string, known: Recorded | undefined): void {
  const loser = `local@${settings.replicaId}`;
  const winner = known === undefined ? 'log' : formatVersion(known.version);
  if (manifest.putConflict({ id: conflictId(key, file), key, winner, loser, file, time: clock.now() }))
    logger.warn({ key, file }, 'the log has another version of what only this replica had; its own copy is kept');
}

export function mayOverrule({ context: { manifest }, overruled }: Pick<Work, 'context' | 'overruled'>, key: Key): boolean {
  return overruled.has(key) || (isBootstrapping(manifest) && manifest.entry(key) === undefined);
}

export function keepContent({ context }: Work, key: Key, content: object): void {
  const text = JSON.stringify(content, null, 2);
  recordOverruled(context, key, context.conflicts.save(key, 'local', new TextEncoder().encode(text)), context.manifest.entry(key));
}
