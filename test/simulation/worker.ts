// Runs seeds as it is told, and answers with each result.
import { parentPort, workerData } from 'node:worker_threads';
import { join } from 'node:path';
import type { FaultName } from './faults.ts';
import { plants } from './planted.ts';
import { runSeed } from './run.ts';

export type WorkerData = {
  readonly base: string;
  readonly template: string;
  readonly steps: number;
  readonly faults: readonly FaultName[];
  /** send the traces of what passes, too */
  readonly keep: boolean;
};
/** `faults`: beside the usual ones */
export type Job = { readonly seed: number; readonly plant?: string; readonly faults?: readonly FaultName[] };

const { base, template, steps, faults, keep } = workerData as WorkerData;
const port = parentPort;
const work = async ({ seed, plant: name, faults: more = [] }: Job): Promise<void> => {
  const plant = plants.find((one) => one.name === name);
  const directory = join(base, `seed-${seed}-${name === undefined ? 0 : plants.findIndex((one) => one.name === name) + 1}`);
  const all = new Set([...faults, ...more, ...(plant?.faults ?? [])]);
  const result = await runSeed({ seed, directory, template, steps, faults: all, ...(plant === undefined ? {} : { plant }) });
  port?.postMessage(result.violation === undefined && !keep ? { ...result, trace: [] } : result);
};
// A failure of the harness itself has to end the worker: main.ts hears of it as an error.
port?.on('message', (job: Job) => {
  work(job).catch((error: unknown) => {
    setImmediate(() => {
      throw error;
    });
  });
});
