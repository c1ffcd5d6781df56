// Before each step: is this still the storage that the manifest is about? A volume that was swapped or lost must never look
// like a replica on which everything was deleted.
import { existsSync } from 'node:fs';
import { DocbusError } from '@docbus/core';
import { checkMarker, readMarker, writeMarker } from '@docbus/replica/marker.ts';
import { randomUuid } from '@docbus/runtime';
import type { Agent } from './agent.ts';

/** The same agent; its steps throw `storage_missing`, `storage_replaced` or `storage_foreign` instead of looking at the wrong storage. */
export function guardStorage(agent: Agent, place: { readonly storageDir: string; readonly replicaId: string }): Agent {
  const { manifest, clock } = agent.context;
  const check = (): void => {
    const { storageDir, replicaId } = place;
    if (!existsSync(storageDir))
      throw new DocbusError(
        'storage_missing',
        `The storage directory ${storageDir} is not there; mount it, or set DOCBUS_STORAGE_DIR. Nothing is published meanwhile.`,
      );
    const verdict = checkMarker(readMarker(storageDir), manifest.meta('storage'), place);
    const marker = verdict === 'fresh' ? { replica: replicaId, storage: randomUuid(clock) } : verdict;
    if (verdict === 'fresh') writeMarker(storageDir, marker);
    if (manifest.meta('storage') === undefined) manifest.setMeta('storage', marker.storage);
  };
  agent.context.state.checkStorage = check;
  const checked =
    <A extends unknown[], R>(step: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      check();
      return step(...args);
    };
  return {
    ...agent,
    publishOnce: checked(agent.publishOnce),
    consumeOnce: checked(agent.consumeOnce),
    revertDeletions: checked(agent.revertDeletions),
    retryQuarantined: checked(agent.retryQuarantined),
  };
}
