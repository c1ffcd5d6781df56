// Is everything still where the manifest's things are? A volume that went away in the middle of a step would swallow what is applied,
// and its return would make that look deleted. Asked before anything is applied, and again before it is recorded.
import { DocbusError, kindOf } from '@docbus/core';
import type { Manifest } from '@docbus/replica/manifest.ts';
import type { Context } from './context.ts';

/**
 * Throws `storage_missing` or `storage_replaced`. A documents/ without any folder may also be what somebody wanted: the deletions are
 * held, and once the operator has approved of one of them the folder is no longer missed. `emptied`: we have removed documents ourselves.
 */
export function requirePlaces({ manifest, replica, state, clock }: Context, { emptied = false } = {}): void {
  state.checkStorage();
  if (!emptied && manifest.hasPresent('document') && !replica.documents.exists() && !holdDocuments(manifest, clock.now()))
    throw new DocbusError(
      'storage_missing',
      'The folder documents/ is missing or has no folder in it, while documents are recorded. Nothing is applied meanwhile: mount it, or decide about the deletions with `docbus deletes`.',
    );
  if (isDatabaseReplaced({ manifest, replica }))
    throw new DocbusError(
      'storage_replaced',
      "AnythingLLM's database is not the one this agent knows, or an older copy of it. Nothing is applied meanwhile. Bring the right one back. If it is new on purpose, delete the agent's state directory and start it again.",
    );
}

/** Events are numbered upwards for ever; a database that has given fewer numbers than we have seen is another one, or an older copy. */
export function isDatabaseReplaced({ manifest, replica }: Pick<Context, 'manifest' | 'replica'>): boolean {
  return replica.records.look().eventSequence < Number(manifest.meta('event_sequence') ?? 0);
}

/** True where the operator has approved of the deletion of documents. */
function holdDocuments(manifest: Manifest, since: number): boolean {
  const held = new Map(manifest.held().map((item) => [item.key, item]));
  if ([...held.values()].some(({ key, approved }) => approved && kindOf(key) === 'document')) return true;
  const reason = 'documents/ is missing, or has no folder in it';
  manifest.transaction(() => {
    for (const { key } of manifest.presentHashes('document')) if (!held.has(key)) manifest.putHeld({ key, reason, since, approved: false });
  });
  return false;
}
