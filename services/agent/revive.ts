// An embedding is deleted only together with its document. Where the document stays, because somebody who had not heard of the deletion
// changed it, the embedding's deletion would leave it without vectors for good: AnythingLLM embeds from its cache, so nothing about the
// embedding has changed that would be published. Whoever changed the document publishes its embedding again.
import { baseOn, documentKey, parseKey, type Change } from '@docbus/core';
import type { Outgoing } from '@docbus/replica/manifest.ts';
import { isBootstrapping, type Context } from './context.ts';
import type { Winner } from './groups.ts';

/** What to publish after these winners, of which `all` is the whole batch. To be asked before they are recorded: the payload goes with the entry. */
export function revivalsOf(
  { manifest, settings, clock }: Pick<Context, 'manifest' | 'settings' | 'clock'>,
  winners: readonly Winner[],
  all: readonly Winner[],
): readonly Outgoing[] {
  if (isBootstrapping(manifest)) return [];
  return winners.flatMap(({ change: deletion }) => {
    const parsed = parseKey(deletion.key);
    if (parsed.kind !== 'embedding' || deletion.state !== 'deleted') return [];
    const document = all.find(({ change }) => change.key === documentKey(parsed.path))?.change ?? manifest.entry(documentKey(parsed.path));
    const entry = manifest.entry(deletion.key);
    const payload = manifest.payload(deletion.key);
    if (document?.state !== 'present' || document.version.replica !== settings.replicaId) return [];
    if (entry?.state !== 'present' || entry.content === null || payload?.hash !== entry.hash) return [];
    const change: Change = {
      key: entry.key,
      version: { revision: deletion.version.revision + 1, replica: settings.replicaId },
      base: baseOn(deletion),
      state: 'present',
      hash: entry.hash,
      content: entry.content,
      instance: manifest.instance,
      time: clock.now(),
    };
    return [{ change, packed: payload.packed }];
  });
}
