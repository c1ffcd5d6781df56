// idle: what an agent with very many documents costs when nothing happens, and how soon it is ready after a restart.
// The library is written directly; a real agent process then publishes all of it, which leaves the manifest as a long life would.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '@docbus/runtime';
import { startReplica, type E2eReplica } from '../e2e/replica.ts';
import { waitFor } from '../servers/process.ts';
import { cacheDir, databaseFile, documentsDir } from '../stand-in/storage.ts';
import { writeLibrary } from './library.ts';
import { atMost, median, round, type Bench } from './outcome.ts';
import { cpuSeconds, memoryOf, peakOf } from './process-facts.ts';

/** Sizes of vectors do not matter to an agent at rest; small ones are written sooner. */
const DIMENSIONS = 16;
const SWEEP_SECONDS = 300;
/** An agent that has found something looks more often for a minute; what its start left in the heap goes in the second. */
const QUIET_MS = 120_000;
const PUBLISH_MS = 900_000;
const READY_MS = 120_000;
const GOALS = { megabytes: 150, percent: 0.5, restart: 3 };

export const bench: Bench = {
  about: 'memory and CPU of an agent at rest, and its restart ÷ a walk with stat over the same files',
  run: async ({ quick, directory, logUrl, say, signal }) => {
    const documents = quick ? 5_000 : 100_000;
    const restMs = quick ? 10_000 : 30_000;
    const env = { DOCBUS_LOG_LEVEL: 'info', DOCBUS_SETTLE_MS: undefined, DOCBUS_SWEEP_MS: String(SWEEP_SECONDS * 1000) };
    await using replica = await startReplica({ name: 'replica', directory, log: logUrl(directory), controlled: false, env });
    const slug = await replica.app.createWorkspace('Library');
    const library = {
      storageDir: replica.storageDir,
      slug,
      documents,
      dimensions: DIMENSIONS,
      now: systemClock.now(),
      chroma: replica.chroma.url,
    };
    await writeLibrary(library, signal);
    say(`${documents} documents with caches, rows and vectors are written`);

    await replica.startAgent();
    await untilPublished(replica, documents, say, signal);
    const afterPublishing = memoryOf(replica.agent.pid);
    say(`published; the agent has ${afterPublishing.toFixed(0)} MB, at most ${peakOf(replica.agent.pid).toFixed(0)}`);

    const restarts: { readonly walk: number; readonly ready: number }[] = [];
    for (let i = 0; i < 3; i++) {
      await replica.stopAgent();
      const walk = walkAll(replica.storageDir, documents);
      const ready = await restart(replica, signal);
      restarts.push({ walk, ready });
      say(`restart until ready ${ready.toFixed(0)} ms, walk ${walk.toFixed(0)} ms: ${(ready / walk).toFixed(2)}`);
    }
    await systemClock.sleep(quick ? 0 : QUIET_MS, signal);
    const restPercent = await cpuPercent(replica.agent.pid, restMs, signal);
    const atRest = memoryOf(replica.agent.pid);
    const peak = peakOf(replica.agent.pid);
    say(`at rest: ${atRest.toFixed(0)} MB (at most ${peak.toFixed(0)}), ${restPercent.toFixed(3)} % of a core between sweeps`);

    const chatPercent = await cpuPercentWhileChatting(replica, restMs, signal);
    say(`while somebody chats, a row a second: ${chatPercent.toFixed(3)} % of a core`);

    const sweepSeconds = await sweepCost(replica, signal);
    const percent = restPercent + (sweepSeconds / SWEEP_SECONDS) * 100;
    say(`one sweep takes ${sweepSeconds.toFixed(2)} s of CPU: with one every ${SWEEP_SECONDS} s ${percent.toFixed(3)} % of a core in all`);
    const ratio = median(restarts.map(({ walk, ready }) => ready / walk));
    return {
      figures: {
        documents,
        restMegabytes: round(atRest),
        peakMegabytesOfRestart: round(peak),
        megabytesAfterPublishingAll: round(afterPublishing),
        cpuPercentBetweenSweeps: round(restPercent),
        cpuPercentWhileChatting: round(chatPercent),
        cpuSecondsOfOneSweep: round(sweepSeconds),
        cpuPercent: round(percent),
        restartMs: restarts.map(({ ready }) => round(ready)),
        walkMs: restarts.map(({ walk }) => round(walk)),
      },
      goals: [
        atMost('megabytes at rest', atRest, GOALS.megabytes),
        atMost('percent of a core at rest, sweeps included', percent, GOALS.percent),
        atMost('restart until ready ÷ walk', ratio, GOALS.restart),
      ],
    };
  },
};

async function untilPublished(replica: E2eReplica, documents: number, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  let told = systemClock.now();
  const published = async (): Promise<boolean> => {
    const { present, unpublished } = await replica.status();
    if (systemClock.now() - told > 20_000) {
      told = systemClock.now();
      say(`${present.document} documents, ${present.membership} memberships published`);
    }
    return unpublished === 0 && present.membership === documents;
  };
  await waitFor('the agent to publish the library', published, { deadlineMs: PUBLISH_MS, everyMs: 500 }, signal);
  // An agent is not at rest before it has sampled what AnythingLLM had filled.
  using manifest = new DatabaseSync(join(replica.stateDir, 'manifest.db'), { readOnly: true, timeout: 5_000 });
  const unsampled = manifest.prepare('select count(*) as n from unsampled_fills');
  const left = (): number => Number(unsampled.get()?.['n']);
  say(`published; ${left()} fills are left to be sampled`);
  await waitFor('the agent to sample them', () => left() === 0, { deadlineMs: PUBLISH_MS, everyMs: 500 }, signal);
}

/** Documents and caches, each looked at once; milliseconds. */
function walkAll(storageDir: string, documents: number): number {
  const started = performance.now();
  let files = 0;
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) walk(join(folder, entry.name));
      else {
        lstatSync(join(folder, entry.name), { bigint: true });
        files++;
      }
  };
  walk(documentsDir(storageDir));
  walk(cacheDir(storageDir));
  const ms = performance.now() - started;
  if (files !== 2 * documents) throw new Error(`The walk found ${files} files.`);
  return ms;
}

/** Milliseconds from the start of the process until it answers /readyz with 200, which it does after its first look at everything. */
async function restart(replica: E2eReplica, signal: AbortSignal): Promise<number> {
  const started = performance.now();
  await replica.startAgent();
  const ready = async (): Promise<boolean> => (await replica.get('/readyz')).status === 200;
  await waitFor('the agent to be ready', ready, { deadlineMs: READY_MS, everyMs: 10 }, signal);
  return performance.now() - started;
}

async function cpuPercent(pid: number, ms: number, signal: AbortSignal): Promise<number> {
  await systemClock.sleep(ms / 4, signal); // what a start leaves to be done later
  const [before, started] = [cpuSeconds(pid), performance.now()];
  await systemClock.sleep(ms, signal);
  return ((cpuSeconds(pid) - before) / ((performance.now() - started) / 1000)) * 100;
}

/** Every message changes the database, and with it the counter that says whether anything is to be looked at. */
async function cpuPercentWhileChatting(replica: E2eReplica, ms: number, signal: AbortSignal): Promise<number> {
  using database = new DatabaseSync(databaseFile(replica.storageDir), { timeout: 5_000 });
  const add = database.prepare("insert into workspace_chats (workspaceId, prompt, response) values (1, 'How are you?', '{}')");
  const [before, started] = [cpuSeconds(replica.agent.pid), performance.now()];
  while (performance.now() - started < ms) {
    add.run();
    await systemClock.sleep(1000, signal);
  }
  return ((cpuSeconds(replica.agent.pid) - before) / ((performance.now() - started) / 1000)) * 100;
}

/** Seconds of CPU for one sweep while nobody changes the database, from an agent that sweeps often. */
async function sweepCost(replica: E2eReplica, signal: AbortSignal): Promise<number> {
  await replica.stopAgent();
  const sweepMs = 4_000;
  await replica.startAgent({ DOCBUS_SWEEP_MS: String(sweepMs) });
  const idlePercent = await cpuPercent(replica.agent.pid, sweepMs * 4, signal);
  return (idlePercent / 100) * (sweepMs / 1000);
}
