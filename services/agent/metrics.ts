// The agent's metrics, in Prometheus' base units. No document names as labels.
import { kinds } from '@docbus/core';
import { createGauge, createRegistry, type Registry } from '@docbus/runtime';
import type { Agent } from './agent.ts';
import { isBootstrapping } from './context.ts';
import type { Loop } from './run.ts';
import type { StatusReader } from './status.ts';

export function createAgentMetrics(agent: Agent, loop: Loop, reader: StatusReader, signal: AbortSignal): Registry {
  const { manifest, settings } = agent.context;
  const registry = createRegistry({ replica: settings.replicaId });
  const gauge = (name: `docbus_${string}`, help: string, read: () => number): void => void createGauge(registry, { name, help, read });

  const lagRecords = createGauge(registry, {
    name: 'docbus_lag_records',
    help: 'Records in the log after the checkpoint; NaN while the log cannot be asked.',
  });
  const lagSeconds = createGauge(registry, {
    name: 'docbus_lag_seconds',
    help: 'Age of the oldest record after the checkpoint, 0 without lag, NaN where it is not known.',
  });
  const entries = createGauge(registry, { name: 'docbus_entries', help: 'Entries of the manifest that are present.', labels: ['kind'] });
  createGauge(registry, { name: 'docbus_up', help: '1 while the agent runs.', read: () => 1 });
  // What needs a question to the log is set before each scrape.
  const collect = registry.metrics.bind(registry);
  registry.metrics = async () => {
    const lag = await reader.lag(signal);
    lagRecords.set(lag?.records ?? NaN);
    lagSeconds.set(lag?.seconds ?? NaN);
    const counts = manifest.counts();
    for (const kind of kinds) entries.set({ kind }, counts[kind].present);
    return collect();
  };
  gauge('docbus_chunks', 'Chunks of text of all present embeddings.', () => manifest.chunkCount());
  gauge('docbus_unlogged_entries', 'Entries that the log does not hold as its newest record of their key.', () => manifest.unloggedCount());
  gauge('docbus_outbox_changes', 'Changes on their way into the log.', () => manifest.outboxCount());
  gauge('docbus_held_deletions', 'Deletions held by the guard.', () => manifest.heldCount());
  gauge('docbus_quarantined', 'Records and changes in quarantine.', () => manifest.quarantinedCount());
  gauge('docbus_conflicts', 'Conflicts listed.', () => manifest.conflictCount());
  gauge('docbus_bootstrapping', '1 until the log has been read to its end for the first time.', () => (isBootstrapping(manifest) ? 1 : 0));
  gauge('docbus_publish_failing', '1 while publishing does not get on.', () => (loop.publish.trouble() === undefined ? 0 : 1));
  gauge('docbus_consume_failing', '1 while applying does not get on.', () => (loop.consume.trouble() === undefined ? 0 : 1));
  return registry;
}
