// A minute of faults on each log; longer ones by hand: npm run faults -- --log kafka --seconds 600.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logNames } from './logs.ts';
import { blockOf, hasPassed } from './outcome.ts';
import { runFaults } from './run.ts';

const seconds = 60;

for (const log of logNames)
  test(`${seconds} s of faults on ${log} lose nothing, and all replicas become one`, async (context) => {
    const seed = 1 + Math.floor(Math.random() * 1e6); // the block names it
    const lines: string[] = [];
    const run = runFaults({ log, seconds, seed, say: (line) => lines.push(line), signal: context.signal });
    const outcome = await run.catch((error: unknown) => {
      throw new Error([...lines, `the run itself failed; its trace and logs: .cache/faults/${log}-${seed}`].join('\n'), { cause: error });
    });
    const block = blockOf(outcome);
    for (const line of block.split('\n')) context.diagnostic(line);
    assert.ok(hasPassed(outcome), [...lines, block].join('\n'));
  });
