// npm run simulate: many seeds of the cluster simulation, or the bugs that test it; `--help` lists the options.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createTemplate } from '../stand-in/index.ts';
import { faultNames, type FaultName } from './faults.ts';
import { plants } from './planted.ts';
import type { RunResult } from './run.ts';
import type { Job, WorkerData } from './worker.ts';

const usage = `Simulates a cluster from each of many seeds, with faults, and checks every invariant.

  npm run simulate -- [options]

  --seeds N       how many seeds (200)
  --from N        the first of them (1)
  --seed N        only this one
  --twice         each seed again: the traces must be equal
  --keep          keeps the traces also of what passes, in .cache/simulation/
  --planted       every planted bug must be found (test/simulation/planted.ts)
  --plant NAME    runs the seeds with this bug; with --planted, looks for this one only
  --steps N       what happens before quiet (600)
  --faults A,B,…  only these: ${faultNames.join(', ')}
  --no-faults     none of them

The last line is "N passed, M failed"; the exit code is 0 where M is 0, else 1.`;

const values = parseOptions();

function parseOptions() {
  try {
    const parsed = parseArgs({
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        seeds: { type: 'string', default: '200' },
        seed: { type: 'string' },
        from: { type: 'string', default: '1' },
        steps: { type: 'string', default: '600' },
        faults: { type: 'string' },
        'no-faults': { type: 'boolean', default: false },
        planted: { type: 'boolean', default: false },
        plant: { type: 'string' },
        twice: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
      },
    }).values;
    if (parsed.help) {
      console.log(usage);
      process.exit(0);
    }
    const whole = (name: 'seeds' | 'seed' | 'from' | 'steps'): number => {
      const text = parsed[name];
      if (text === undefined || !/^\d{1,9}$/.test(text)) throw new Error(`--${name} needs a whole number, not ${JSON.stringify(text)}`);
      return Number(text);
    };
    return {
      ...parsed,
      seeds: parsed.seed === undefined ? whole('seeds') : 1,
      from: parsed.seed === undefined ? whole('from') : whole('seed'),
      steps: whole('steps'),
      faults: parsed['no-faults'] ? [] : parsed.faults === undefined ? faultNames : parsed.faults.split(',').map(parseFault),
      plant: parsed.plant === undefined ? undefined : parsePlant(parsed.plant),
    };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    console.error(`${error.message}\n\n${usage}`);
    process.exit(2);
  }
}

function parseFault(name: string): FaultName {
  const found = faultNames.find((known) => known === name);
  if (found === undefined) throw new Error(`there is no fault ${JSON.stringify(name)}`);
  return found;
}

function parsePlant(name: string): string {
  if (!plants.some((plant) => plant.name === name)) throw new Error(`there is no planted bug ${JSON.stringify(name)}; see planted.ts`);
  return name;
}

/** So many seeds must be enough to find a planted bug. */
const SEEDS_PER_BUG = 2000;
const TAIL = 25;
const MEMORY = '/dev/shm';

const base = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'docbus-sim-'));
const traces = resolve(import.meta.dirname, '../../.cache/simulation');
const template = join(base, 'template.db');
createTemplate(template);
const workerData: WorkerData = { base, template, steps: values.steps, faults: values.faults, keep: values.keep };
const workers = Array.from({ length: availableParallelism() }, () => new Worker(new URL('worker.ts', import.meta.url), { workerData }));

/** Runs the jobs on all workers; `done` may end it early by returning false. */
async function runAll(jobs: Iterable<Job>, done: (result: RunResult, job: Job) => boolean): Promise<void> {
  const queue = jobs[Symbol.iterator]();
  let wanted = true;
  await Promise.all(
    workers.map(
      (worker) =>
        new Promise<void>((end, reject) => {
          let job: Job | undefined;
          const next = (): void => {
            const step = wanted ? queue.next() : { done: true as const, value: undefined };
            if (step.done === true) {
              worker.off('error', reject);
              worker.off('message', take);
              end();
              return;
            }
            job = step.value;
            worker.postMessage(job);
          };
          const take = (result: RunResult): void => {
            if (job !== undefined && !done(result, job)) wanted = false;
            next();
          };
          worker.on('error', reject);
          worker.on('message', take);
          next();
        }),
    ),
  );
}

function save({ seed, trace }: RunResult): string {
  mkdirSync(traces, { recursive: true });
  const file = join(traces, `seed-${seed}.txt`);
  writeFileSync(file, `${trace.join('\n')}\n`);
  return file;
}

function* seedsOf(first: number, count: number, plant?: string): Generator<Job> {
  for (let seed = first; seed < first + count; seed++) yield { seed, ...(plant === undefined ? {} : { plant }) };
}

async function simulate(): Promise<boolean> {
  const { from, seeds } = values;
  let passed = 0;
  const failures = new Map<string, number[]>();
  const hashes = new Map<number, string>();
  const report = (result: RunResult): boolean => {
    const { seed, violation, traceHash } = result;
    const before = hashes.get(seed);
    const differs = before !== undefined && before !== traceHash;
    hashes.set(seed, traceHash);
    if (violation === undefined && !differs) {
      if (before === undefined) passed += 1;
    } else {
      const check = violation?.check ?? 'the same seed gives the same trace';
      failures.set(check, [...(failures.get(check) ?? []), seed]);
      console.log(`SEED=${seed} ${check}: ${violation?.message.slice(0, 1000) ?? `${before} is not ${traceHash}`}`);
      if (violation !== undefined)
        console.log(`  trace in ${save(result)}, its end:\n    ${result.trace.slice(-TAIL).join('\n    ').slice(0, 6000)}`);
    }
    if (values.keep && result.trace.length > 0) save(result);
    if (hashes.size % 100 === 0) console.log(`${hashes.size} seeds`);
    return true;
  };
  await runAll(seedsOf(from, seeds, values.plant), report);
  if (values.twice) await runAll(seedsOf(from, seeds, values.plant), report);
  for (const [check, failing] of failures) console.log(`${failing.length} × ${check}: ${failing.slice(0, 20).join(' ')}`);
  const failed = [...failures.values()].reduce((sum, { length }) => sum + length, 0);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}

/** Prints the table of README.md. A clean program must pass the seed on which a bug is found; otherwise it is not the bug that was found. */
async function findPlanted(): Promise<boolean> {
  const clean = new Map<string, boolean>();
  let missed = 0;
  const chosen = plants.filter(({ name }) => values.plant === undefined || name === values.plant);
  for (const { name, faults = [] } of chosen) {
    let seeds = 0;
    let found: string | undefined;
    while (found === undefined && seeds < SEEDS_PER_BUG) {
      const candidates: RunResult[] = [];
      const from = seeds + 1;
      await runAll(seedsOf(from, workers.length * 2, name), (result) => {
        seeds += 1;
        if (result.violation !== undefined) candidates.push(result);
        return true;
      });
      for (const { seed, violation } of candidates.toSorted((a, b) => a.seed - b.seed)) {
        if (found !== undefined) break;
        const id = [seed, ...faults].join(' ');
        if (!clean.has(id)) await runAll([{ seed, faults }], (result) => clean.set(id, result.violation === undefined) !== undefined);
        if (clean.get(id) !== true) continue;
        found = violation?.check;
        seeds = seed;
      }
    }
    if (found === undefined) missed += 1;
    console.log(`| ${name} | ${found ?? 'NOT FOUND'} | ${seeds} |`);
  }
  console.log(`${chosen.length - missed} of ${chosen.length} planted bugs found`);
  return missed === 0;
}

// Ended from outside: the storages lie in memory and must not stay there.
for (const name of ['SIGINT', 'SIGTERM'] as const)
  process.once(name, () => {
    rmSync(base, { recursive: true, force: true });
    process.exit(1);
  });

try {
  process.exitCode = (values.planted ? await findPlanted() : await simulate()) ? 0 : 1;
} finally {
  await Promise.all(workers.map((worker) => worker.terminate()));
  rmSync(base, { recursive: true, force: true });
}
