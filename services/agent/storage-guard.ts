// Before each step: is this still the storage that the manifest is about? A volume that was swapped or lost must never look
// like a replica on which everything was deleted.
import { existsSync } from 'node:fs';
import { DocbusError } from '@docbus/core';
import type { StateLock } from '@docbus/replica/lock.ts';
import { checkMarker, readMarker, writeMarker } from '@docbus/replica/marker.ts';
import { randomUuid } from '@docbus/runtime';
import type { Agent } from './agent.ts';

export type GuardedPlace = { readonly storageDir: string; readonly replicaId: string; readonly lock: Pick<StateLock, 'check'> };

/** The same agent; its steps throw `storage_missing`, `storage_replaced`, `storage_foreign` or `state_removed` instead of looking at the wrong storage. */
export function guardStorage(agent: Agent, place: GuardedPlace): Agent {
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
    // Only now: a state directory inside a storage that went away went with it, and comes back with it.
    place.lock.check();
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
