// One run: three agents on real Chroma and a real log, people editing everywhere, faults of the log and faults of the replicas side by
// side, each shown to have taken effect; then quiet, and a verdict on every edit.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@docbus/runtime/clock.ts';
import { startCluster, type Cluster } from '../e2e/cluster.ts';
import { environment } from '../servers/find.ts';
import { waitFor } from '../servers/process.ts';
import { createRandom, type Random } from '../simulation/random.ts';
import type { Journal } from './edits.ts';
import { listen, type Fault } from './fault.ts';
import { createFollower } from './follower.ts';
import { historyOf, type Trace } from './history.ts';
import { judge } from './judge.ts';
import { openFaultedLog, type LogName } from './logs.ts';
import type { FaultCount, Outcome } from './outcome.ts';
import { openPeople, type People } from './people.ts';
import { replicaFaults } from './replica-faults.ts';
import { finalOf, ghosts, keptBy, mute, settle } from './settle.ts';

export type RunOptions = {
  readonly log: LogName;
  readonly seconds: number;
  readonly seed: number;
  /** one line of progress */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

/** A fault that has not shown itself within this time never took effect. */
const PROOF_MS = 60_000;
/** People work undisturbed between two faults. */
const CALM_MS = [500, 2_500] as const;
const FREEZE_MS_MAX = 30_000;

export async function runFaults({ log: name, seconds, seed, say, signal }: RunOptions): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'docbus-faults-'));
  stack.defer(() => {
    if (environment('DOCBUS_TEST_KEEP') === undefined) rmSync(directory, { recursive: true, force: true });
  });
  say(`starting ${name}`);
  const log = stack.use(await openFaultedLog(name, directory, Math.min(FREEZE_MS_MAX, (seconds * 1000) / 6)));
  say('starting three replicas');
  const cluster = stack.use(await startCluster({ log: log.url }));
  await cluster.converged();
  const { replicas } = cluster;
  const journal: Journal = { edits: [] };
  const random = (stream: number): Random => createRandom(seed * 16 + stream);
  const people = replicas.map((replica, index) => stack.use(openPeople(replica, journal, random(index))));
  const follower = createFollower(log.url);

  const trace = (): Trace => ({ edits: journal.edits, notes: people.flatMap(({ notes }) => notes), changes: follower.changes });
  const place = join(import.meta.dirname, '../../.cache/faults', `${name}-${seed}`);
  const findings: Record<string, unknown> = {};
  // Also where the run itself fails. Deferred last, so that all is still there.
  stack.defer(() => {
    const outputs = [
      ...replicas.map(({ agent }) => agent.output),
      ...readdirSync(directory).flatMap((file) => (file.endsWith('.log') ? [join(directory, file)] : [])),
    ];
    writeTrace(place, { ...trace(), ...findings }, outputs);
  });

  // Whatever ends early ends the others: nothing is worth waiting for then.
  const failed = new AbortController();
  const stop = AbortSignal.any([signal, failed.signal]);
  const over = AbortSignal.any([stop, AbortSignal.timeout(seconds * 1000)]);
  const stopFollowing = new AbortController();
  const counts: Record<string, FaultCount> = {};
  const together = async (works: readonly Promise<void>[]): Promise<void> => {
    const results = await Promise.allSettled(
      works.map(async (work) => {
        try {
          await work;
        } catch (error) {
          failed.abort(error);
          throw error;
        }
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };
  say(`faults for ${seconds} s, seed ${seed}`);
  const following = follower.follow(AbortSignal.any([stop, stopFollowing.signal]));
  following.catch((error: unknown) => failed.abort(error)); // it is awaited below
  const lane = async (faults: readonly Fault[], own: Random): Promise<void> =>
    await strike({ cluster, faults, counts, random: own, over, stop, say });
  await together([
    ...people.map(async (own) => await own.work(over)),
    lane(log.faults, random(8)),
    lane(replicaFaults(replicas, people), random(9)),
  ]);
  signal.throwIfAborted();

  say('faults are over; waiting until all replicas are one');
  const settled = await settle(replicas, people, stop);
  stopFollowing.abort();
  await following;
  await follower.finish(stop);
  const finals = settled.pictures.map(({ inspection }) => finalOf(inspection));
  const kept = await Promise.all(replicas.map(keptBy));
  const statuses = await Promise.all(replicas.map(async (replica) => await replica.status()));
  const verdict = settled.converged
    ? judge({
        edits: journal.edits,
        changes: follower.changes,
        finals,
        kept: kept.reduce((all, one) => all.union(one.kept), new Set<string>()),
      })
    : { lost: [], extra: [] };
  const names = replicas.map((replica) => replica.name);
  const each = (count: (index: number) => number): Record<string, number> =>
    Object.fromEntries(names.map((one, index) => [one, count(index)]));
  const [first] = settled.pictures;
  Object.assign(findings, { ghosts: settled.pictures.flatMap(ghosts), kept: kept.flatMap((one) => [...one.kept]) });
  const lost = [...verdict.lost, ...(settled.converged && first !== undefined ? mute(first.inspection) : [])];
  const diverged = settled.converged ? [] : settled.differences;
  return {
    log: name,
    seed,
    seconds,
    operations: sumOf(people),
    edits: journal.edits.length,
    published: each((index) => follower.changes.filter(({ change }) => change.version.replica === names[index]).length),
    applied: each((index) => appliedIn(replicas[index]?.agent.output ?? '')),
    conflicts: each((index) => kept[index]?.conflicts ?? 0),
    approved: settled.approved,
    quarantined: statuses.reduce((sum, { quarantined }) => sum + quarantined, 0),
    converged: settled.converged,
    convergedMs: settled.ms,
    lost,
    diverged,
    extra: verdict.extra,
    faults: counts,
    cannot: log.cannot,
    trace: place,
    history: historyOf(
      [...lost, ...diverged, ...verdict.extra],
      trace(),
      replicas.map(({ agent }) => agent.output),
    ),
  };
}

type Lane = {
  readonly cluster: Cluster;
  readonly faults: readonly Fault[];
  readonly counts: Record<string, FaultCount>;
  readonly random: Random;
  /** no fault begins after it */
  readonly over: AbortSignal;
  readonly stop: AbortSignal;
  readonly say: (line: string) => void;
};

/** One fault after the other until the time is over, each kind once before any comes again. */
async function strike({ cluster, faults, counts, random, over, stop, say }: Lane): Promise<void> {
  for (const { name } of faults) counts[name] = { injected: 0, proven: 0, evidence: '' };
  let bag: Fault[] = [];
  while (await passes(random, CALM_MS, over)) {
    if (bag.length === 0) bag = [...faults];
    const [fault] = bag.splice(random.below(bag.length), 1) as [Fault];
    const count = counts[fault.name] as FaultCount;
    const heard = listen(cluster.replicas);
    let evidence: string | undefined;
    const began = systemClock.now();
    await fault.inject(random);
    count.injected += 1;
    try {
      await waitFor(
        `${fault.name} to take effect`,
        async () => (evidence = await fault.proof(heard)) !== undefined,
        { deadlineMs: PROOF_MS, everyMs: 200 },
        stop,
      ).catch(() => undefined); // it is counted as not proven, and fails the run
      if (evidence !== undefined) {
        count.proven += 1;
        count.evidence = evidence;
        await passes(random, fault.holdMs, over);
      }
    } finally {
      await fault.heal();
    }
    say(`${fault.name} (${((systemClock.now() - began) / 1000).toFixed(1)} s): ${evidence ?? 'IT NEVER TOOK EFFECT'}`);
  }
}

/** Lets a random time pass; false where the signal aborted meanwhile. */
async function passes(random: Random, [least, most]: readonly [number, number], signal: AbortSignal): Promise<boolean> {
  const ms = least + random.next() * (most - least);
  return await systemClock.sleep(ms, signal).then(
    () => true,
    () => false,
  );
}

function sumOf(people: readonly People[]): Outcome['operations'] {
  const sum = (of: (counts: People['counts']) => number): number => people.reduce((total, { counts }) => total + of(counts), 0);
  return {
    attempted: sum(({ attempted }) => attempted),
    completed: sum(({ completed }) => completed),
    failed: sum(({ failed }) => failed),
  };
}

/** For whoever looks for the reason of a failure: what people did, what the log held, and what agents and broker said. */
function writeTrace(directory: string, trace: unknown, outputs: readonly string[]): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'trace.json'), JSON.stringify(trace, null, 1));
  for (const output of outputs) copyFileSync(output, join(directory, output.split('/').slice(-2).join('-')));
}

/** What all lives of an agent say that they applied. */
function appliedIn(output: string): number {
  return [...readFileSync(output, 'utf8').matchAll(/"applied":(\d+),"message":"consumed"/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}
