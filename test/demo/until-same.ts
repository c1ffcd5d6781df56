// Waiting for the replicas: with the eyes on them, until they hold the same, and not for ever.
import type { Status } from '@docbus/agent/api.ts';
import { systemClock } from '@docbus/runtime';
import { compareReplicas, type Check, type Compared } from './compare.ts';
import type { DemoReplica } from './replica.ts';
import type { Screen } from './screen.ts';

export type Three = readonly [DemoReplica, DemoReplica, DemoReplica];

/** Without any movement for this long, something is wrong. */
const STALLED_MS = 30_000;
const LOOK_MS = 100;

/** Draws until the work is done. The work's failure is thrown at once, a failing look never hides it. */
export async function showWhile(work: Promise<void>, draw: () => Promise<void>, signal: AbortSignal): Promise<void> {
  let done = false;
  const drawing = async (): Promise<void> => {
    while (!done) {
      await draw();
      await systemClock.sleep(LOOK_MS, signal);
    }
  };
  await Promise.all([work.finally(() => (done = true)), drawing()]);
}

/**
 * Waits until the agents say that they are done and the replicas hold the same, which is looked up in files, rows and Chroma.
 * Rejects where nothing has moved for a while.
 */
export async function untilSame(
  all: Three,
  describe: (vectors: readonly number[], statuses: readonly Status[]) => string,
  screen: Screen,
  signal: AbortSignal,
): Promise<readonly Status[]> {
  let seen = '';
  let movedAt = systemClock.now();
  for (;;) {
    const [statuses, vectors] = await Promise.all([
      Promise.all(all.map((replica) => replica.status())),
      Promise.all(all.map((replica) => replica.vectors())),
    ]);
    screen.progress(describe(vectors, statuses));
    const quiet = statuses.every(({ lagRecords, unpublished, ready }) => lagRecords === 0 && unpublished === 0 && ready);
    const agreed = quiet && new Set(statuses.map(({ digest }) => digest)).size === 1;
    let checks: readonly Check[] = [];
    if (agreed) {
      checks = compareReplicas(await inspectAll(all));
      if (checks.every(({ differences }) => differences.length === 0)) return statuses;
    }
    const now = JSON.stringify([vectors, statuses.map(({ digest, lagRecords, unpublished }) => [digest, lagRecords, unpublished])]);
    if (now !== seen) [seen, movedAt] = [now, systemClock.now()];
    if (systemClock.now() - movedAt > STALLED_MS) throw new Error(`The replicas have not become the same.\n${explain(statuses, checks)}`);
    await systemClock.sleep(LOOK_MS, signal);
  }
}

function explain(statuses: readonly Status[], checks: readonly Check[]): string {
  const said = statuses.flatMap(({ replica, problems, lagRecords, unpublished, held, quarantined }) => [
    `${replica}: lag ${lagRecords ?? '?'}, unpublished ${unpublished}, held ${held}, quarantined ${quarantined}`,
    ...problems.map((problem) => `${replica}: ${problem}`),
  ]);
  return [...said, ...checks.flatMap(({ differences }) => differences.slice(0, 3).map(({ sentence }) => sentence))].join('\n');
}

export async function inspectAll(all: Three): Promise<readonly Compared[]> {
  return await Promise.all(all.map(async ({ name, app }) => ({ name, inspection: await app.inspect() })));
}
