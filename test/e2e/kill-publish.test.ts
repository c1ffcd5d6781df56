// kill -9 of an agent at each numbered call while it publishes what its AnythingLLM did. After each it is started again, and what
// was done before and while it was dead must be on the other replica, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster } from './cluster.ts';
import { beginDays, untilPublished } from './day.ts';
import type { E2eReplica } from './replica.ts';

const CALLS_MAX = 300;

test('an agent killed at any call of publishing publishes the rest after its restart, and everything once', async (context) => {
  await using cluster = await startCluster({ replicas: 2, controlled: true });
  const [victim, other] = cluster.replicas as [E2eReplica, E2eReplica];
  const days = await beginDays(victim);
  await days.live();
  await cluster.converged({ when: ({ present }) => present.membership === 4 && present.document === 3 });

  let died = 0;
  for (let n = 1; ; n++) {
    assert.ok(n <= CALLS_MAX, 'publishing one day takes fewer calls than that');
    await victim.holdAgent();
    const end = await cluster.logEnd();
    const changed = await days.live();
    victim.control.killAt(n);
    victim.control.release();
    const published = new AbortController();
    const done = untilPublished(cluster, end, changed).then(() => published.abort());
    await waitFor('the agent to die or to be done', () => victim.agent.hasEnded() || published.signal.aborted, {
      deadlineMs: 30_000,
      everyMs: 20,
    });
    // The last append is in the log before it is recorded.
    if (!victim.agent.hasEnded())
      await waitFor('the agent to die or to record', async () => victim.agent.hasEnded() || (await isQuiet(victim)), {
        deadlineMs: 10_000,
      });
    victim.control.disarm();
    const killed = victim.agent.hasEnded();
    const calls = victim.control.calls();
    if (killed) {
      died++;
      assert.equal((await victim.agent.ended).signal, 'SIGKILL', `killed at call ${n}: ${victim.agent.tail()}`);
      await victim.app.updateWorkspace('commons', { topN: 4 + (n % 5) });
      await victim.startAgent();
    }
    await done;
    await cluster.converged().catch((error: unknown) => {
      throw new Error(`after a kill at call ${n}, ${calls.at(-1)}`, { cause: error });
    });
    if (!killed) {
      context.diagnostic(`killed at each of ${died} calls: ${calls.join(', ')}`);
      break;
    }
  }
  assert.ok(died >= 8, `only ${died} calls were numbered`);
  assert.equal(other.embedder.calls.requests, 0);
  for (const replica of cluster.replicas) {
    const { conflicts, quarantined, held } = await replica.status();
    assert.deepEqual({ conflicts, quarantined, held }, { conflicts: 0, quarantined: 0, held: 0 }, replica.name);
  }
});

async function isQuiet(replica: E2eReplica): Promise<boolean> {
  const { unpublished, lagRecords } = await replica.status();
  return unpublished === 0 && lagRecords === 0;
}
