// npm run faults -- --log kafka|rabbitmq|sqlite [--seconds N] [--seed S]: three agents at work while everything around them fails.
// The last line says passed or FAILED; the exit code is 0 only when nothing was lost, nothing differs, and every fault took effect.
import { runMain, stopSignal } from '@docbus/runtime';
import { DocbusError } from '@docbus/core';
import { parseArgs } from 'node:util';
import { logNames, type LogName } from './logs.ts';
import { blockOf, hasPassed } from './outcome.ts';
import { runFaults } from './run.ts';

const usage = 'usage: npm run faults -- --log kafka|rabbitmq|sqlite [--seconds N] [--seed S]';

function readArguments() {
  const options = {
    help: { type: 'boolean', short: 'h', default: false },
    log: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
  } as const;
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    throw new DocbusError('config_invalid', `${(error as Error).message}\n${usage}`);
  }
}

const signal = stopSignal();
// Servers and agents do not keep this process alive, and there are moments in which nothing else would.
const alive = setInterval(() => {}, 60_000);

await runMain(async () => {
  try {
    const values = readArguments();
    if (values.help) {
      console.log(usage);
      return 0;
    }
    const log = logNames.find((name): name is LogName => name === values.log);
    const seconds = Number(values.seconds);
    const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6));
    if (log === undefined || !(seconds > 0) || !Number.isSafeInteger(seed)) throw new DocbusError('config_invalid', usage);
    const started = Date.now();
    const say = (line: string): void => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}`);
    const outcome = await runFaults({ log, seconds, seed, say, signal });
    console.log(blockOf(outcome));
    return hasPassed(outcome) ? 0 : 1;
  } finally {
    clearInterval(alive);
  }
});
