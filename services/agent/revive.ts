// An embedding is deleted only together with its document. Where the document stays, because somebody who had not heard of the deletion
// changed it, the embedding's deletion would leave it without vectors for good: AnythingLLM embeds from its cache, so nothing about the
// embedding has changed that would be published. Whoever still has it publishes it again; that several do so costs a record each.
import { baseOn, documentKey, kindOf, parseKey, workspaceKey, type Change, type DocPath, type Key, type State } from '@docbus/core';
import type { Outgoing } from '@docbus/replica/manifest.ts';
import { isBootstrapping, type Context } from './context.ts';
import type { Winner } from './groups.ts';

/** What to publish after these winners, of which `all` is the whole batch. To be asked before they are recorded: the payload goes with the entry. */
export function revivalsOf(
  context: Pick<Context, 'manifest' | 'settings' | 'clock'>,
  winners: readonly Winner[],
  all: readonly Winner[],
): readonly Outgoing[] {
  const { manifest, settings, clock } = context;
  const deletions = winners.filter(({ change }) => change.state === 'deleted' && kindOf(change.key) === 'embedding');
  if (deletions.length === 0 || isBootstrapping(manifest)) return [];
  const coming = new Map(all.map(({ change: { key, state } }) => [key, state]));
  const stateOf = (key: Key): State | undefined => coming.get(key) ?? manifest.entry(key)?.state;
  const isEmbedded = (path: DocPath): boolean => {
    const recorded = manifest.membershipsOf(path).map(({ key }) => key);
    return [...recorded, ...coming.keys()].some((key) => {
      const parsed = parseKey(key);
      return (
        parsed.kind === 'membership' && parsed.path === path && [key, workspaceKey(parsed.slug)].every((one) => stateOf(one) === 'present')
      );
    });
  };
  return deletions.flatMap(({ change: deletion }) => {
    const parsed = parseKey(deletion.key);
    if (parsed.kind !== 'embedding') return [];
    const entry = manifest.entry(deletion.key);
    if (entry?.state !== 'present' || entry.content === null) return [];
    if (stateOf(documentKey(parsed.path)) !== 'present' || !isEmbedded(parsed.path)) return [];
    const payload = manifest.payload(deletion.key);
    if (payload?.hash !== entry.hash) return [];
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
