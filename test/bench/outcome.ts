// What a bench reports. Every goal is about a ratio within one run: absolute speeds say something about the machine, not about docbus.
import { cpus, loadavg, totalmem } from 'node:os';

export type Goal = { readonly name: string; readonly goal: string; readonly value: number; readonly met: boolean };

export type Outcome = {
  /** what was measured, by name; units last in each name */
  readonly figures: Readonly<Record<string, unknown>>;
  readonly goals: readonly Goal[];
};

export type BenchOptions = {
  /** a few seconds for trying it out; the goals are meant for the full form */
  readonly quick: boolean;
  /** narrows to the parts with this in their name, where a bench has parts */
  readonly only: string | undefined;
  /** what was asked for as the log: a kind or a URL */
  readonly log: string | undefined;
  /** Address of the log for one run; a new and empty one each time. `directory` is the run's own. */
  readonly logUrl: (directory: string) => string;
  /** a directory of the bench's own, removed afterwards */
  readonly directory: string;
  /** one line of progress */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Bench = { readonly about: string; readonly run: (options: BenchOptions) => Promise<Outcome> };

export function atLeast(name: string, value: number, least: number): Goal {
  return { name, goal: `>= ${least}`, value: round(value), met: value >= least };
}

export function atMost(name: string, value: number, most: number): Goal {
  return { name, goal: `<= ${most}`, value: round(value), met: value <= most };
}

/** What of the machine may matter to a ratio, and how busy others kept it. */
export function machineFacts(): Readonly<Record<string, unknown>> {
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGigabytes: round(totalmem() / 2 ** 30),
    node: process.version,
    loadAverages: loadavg().map(round),
  };
}

/** Three significant digits and no less than whole numbers: what is worth reading of a measurement. */
export function round(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Between the two neighbours where it falls between them. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)] as number;
  const high = sorted[Math.ceil(place)] as number;
  return low + (high - low) * (place - Math.floor(place));
}
