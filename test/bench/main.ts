// npm run bench -- NAME: measures one promise of docbus on this machine. The last line is JSON.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DocbusError } from '@docbus/core';
import { runMain, stopSignal, systemClock } from '@docbus/runtime';
import { openBenchLog } from './broker.ts';
import { machineFacts, type Bench } from './outcome.ts';

/** Loaded when asked for. */
const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  rebuild: async () => (await import('./rebuild.ts')).bench,
  propagate: async () => (await import('./propagate.ts')).bench,
  wire: async () => (await import('./wire.ts')).bench,
  idle: async () => (await import('./idle.ts')).bench,
  log: async () => (await import('./log.ts')).bench,
};

const usage = `usage: npm run bench -- NAME [--quick] [--only PART] [--log LOG]

NAME is one of ${Object.keys(benches).join(', ')}. Progress first, then one line of JSON: figures, goals and whether each is met.
Goals are ratios within one run. They are meant for a machine that does nothing else.

  --quick     a few seconds, to see that it works
  --only PART only the parts with this in their name
  --log LOG   measure on this log instead of a SQLite file: kafka or rabbitmq (a broker is started), or a URL, in which {run}
              becomes another word for each log that is needed; for the bench of logs itself: the only one to measure`;

const signal = stopSignal();

await runMain(async () => {
  const { name, quick, only, log } = readArguments();
  const load = benches[name];
  if (load === undefined) throw new DocbusError('config_invalid', usage);
  const bench = await load();
  const started = systemClock.now();
  const say = (line: string): void =>
    void process.stdout.write(`${((systemClock.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);
  say(`${name}: ${bench.about}`);
  const directory = mkdtempSync(join(tmpdir(), `docbus-bench-${name}-`));
  // Child processes do not keep this one alive, and there are moments in which nothing else would.
  const alive = setInterval(() => {}, 1000);
  try {
    // The bench of logs starts its own.
    await using benchLog = name === 'log' ? undefined : await openBenchLog(log ?? 'sqlite', directory, signal);
    const logUrl = (place: string): string => benchLog?.url(place) ?? '';
    const { figures, goals } = await bench.run({ quick, only, log, logUrl, directory, say, signal });
    for (const { name: goal, goal: wanted, value, met } of goals) say(`${met ? 'met   ' : 'MISSED'} ${goal} = ${value} (goal ${wanted})`);
    const met = goals.every((goal) => goal.met);
    const seconds = Math.round((systemClock.now() - started) / 1000);
    const logKind = benchLog?.kind ?? log ?? 'all';
    process.stdout.write(
      `${JSON.stringify({ bench: name, quick, log: logKind, met, goals, figures, machine: machineFacts(), seconds })}\n`,
    );
  } catch (error) {
    // What was under way when the signal came fails in its own words.
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearInterval(alive);
    rmSync(directory, { recursive: true, force: true });
  }
});

type Arguments = { readonly name: string; readonly quick: boolean; readonly only: string | undefined; readonly log: string | undefined };

function readArguments(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        log: { type: 'string' },
      },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    return { name: positionals.length === 1 ? (positionals[0] ?? '') : '', quick: values.quick, only: values.only, log: values.log };
  } catch (error) {
    throw new DocbusError('config_invalid', `${(error as Error).message}\n\n${usage}`);
  }
}
