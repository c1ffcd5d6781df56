// kill -9 of an agent at each numbered call while it applies what another replica did: before each write to files, database and manifest,
// and before, during and after each request to Chroma and to the log. After each it is started again, and the replicas must be identical.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster } from './cluster.ts';
import { beginDays, untilPublished } from './day.ts';
import type { E2eReplica } from './replica.ts';

const CALLS_MAX = 500;

test('an agent killed at any call of applying goes on where it was, and nothing is lost, doubled or echoed', async (context) => {
  await using cluster = await startCluster({ replicas: 2, controlled: true });
  const [author, victim] = cluster.replicas as [E2eReplica, E2eReplica];
  const days = await beginDays(author);
  await days.live();
  await cluster.converged({ when: ({ present }) => present.membership === 4 && present.document === 3 });

  let died = 0;
  for (let n = 1; ; n++) {
    assert.ok(n <= CALLS_MAX, 'applying one day takes fewer calls than that');
    await victim.holdAgent();
    const end = await cluster.logEnd();
    await untilPublished(cluster, end, await days.live());
    await waitFor('the author to be done', async () => (await author.status()).unpublished === 0, { deadlineMs: 20_000 });
    victim.control.killAt(n);
    victim.control.release();
    await waitFor('the agent to die or to be done', async () => victim.agent.hasEnded() || (await isDone(victim, author)), {
      deadlineMs: 30_000,
      everyMs: 20,
    });
    victim.control.disarm();
    const killed = victim.agent.hasEnded();
    const calls = victim.control.calls();
    if (killed) {
      died++;
      assert.equal((await victim.agent.ended).signal, 'SIGKILL', `killed at call ${n}: ${victim.agent.tail()}`);
      await victim.startAgent();
    }
    await cluster.converged().catch((error: unknown) => {
      throw new Error(`after a kill at call ${n}, ${calls.at(-1)}`, { cause: error });
    });
    if (!killed) {
      context.diagnostic(`killed at each of ${died} calls: ${calls.join(', ')}`);
      break;
    }
  }
  assert.ok(died >= 20, `only ${died} calls were numbered`);
  assert.equal(victim.embedder.calls.requests, 0);
  for (const replica of cluster.replicas) {
    const { conflicts, quarantined, held } = await replica.status();
    assert.deepEqual({ conflicts, quarantined, held }, { conflicts: 0, quarantined: 0, held: 0 }, replica.name);
  }
  const authors = (await cluster.recordsAfter(undefined)).filter(({ key }) => !key.startsWith('part/')).map(({ value }) => sourceOf(value));
  assert.deepEqual([...new Set(authors)], ['/docbus/replica-1'], 'the victim has published nothing of what it applied');
});

async function isDone(victim: E2eReplica, author: E2eReplica): Promise<boolean> {
  const [mine, theirs] = await Promise.all([victim.status(), author.status()]);
  return mine.lagRecords === 0 && mine.digest === theirs.digest;
}

function sourceOf(value: Uint8Array | null): string {
  return (JSON.parse(Buffer.from(value ?? []).toString('utf8')) as { source: string }).source;
}
