import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { test } from 'node:test';

const seeds = 300;

test(`${seeds} seeds of the simulation keep every invariant`, async (context) => {
  const program = resolve(import.meta.dirname, 'simulation', 'main.ts');
  const child = spawn(process.execPath, [program, '--seeds', String(seeds)], { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill());
  const output: Buffer[] = [];
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes));
  const [code] = (await once(child, 'close')) as [number | null];
  const text = Buffer.concat(output).toString();
  const last = text.trimEnd().split('\n').at(-1);
  context.diagnostic(`simulation: ${last}`);
  assert.equal(last, `${seeds} passed, 0 failed`, text);
  assert.equal(code, 0);
});
