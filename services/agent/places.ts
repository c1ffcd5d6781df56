// Is everything still where the manifest's things are? A volume that went away in the middle of a step would swallow what is applied,
// and its return would make that look deleted. Asked before anything is applied, and again before it is recorded.
import { DocbusError } from '@docbus/core';
import type { Context } from './context.ts';

/** Throws `storage_missing` or `storage_replaced`. */
export function requirePlaces({ manifest, replica, state }: Pick<Context, 'manifest' | 'replica' | 'state'>): void {
  state.checkStorage();
  if (manifest.hasPresent('document') && !replica.documents.exists())
    throw new DocbusError(
      'storage_missing',
      'The folder documents/ is missing or has no folder in it, while documents are recorded. Nothing is applied meanwhile: mount it, or decide about the deletions with `docbus deletes`.',
    );
  if (replica.records.look().eventSequence < Number(manifest.meta('event_sequence') ?? 0))
    throw new DocbusError(
      'storage_replaced',
      "AnythingLLM's database is not the one this agent knows, or an older copy of it. Nothing is applied until then: bring the database back. If it is new on purpose, delete the agent's state directory and start it again.",
    );
}
