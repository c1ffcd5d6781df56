import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { createTemplate } from '../stand-in/index.ts';
import { faultNames } from './faults.ts';
import { plants } from './planted.ts';
import { runSeed, type RunResult } from './run.ts';

function prepare(context: TestContext): (seed: number, plant?: string) => Promise<RunResult> {
  const base = mkdtempSync(join(tmpdir(), 'docbus-sim-'));
  context.after(() => rmSync(base, { recursive: true, force: true }));
  const template = join(base, 'template.db');
  createTemplate(template);
  return (seed, name) => {
    const plant = plants.find((one) => one.name === name);
    const directory = join(base, 'seed');
    return runSeed({ seed, directory, template, steps: 300, faults: new Set(faultNames), ...(plant === undefined ? {} : { plant }) });
  };
}

test('the same seed gives the same trace, another seed another one', async (context) => {
  const run = prepare(context);
  const hashes: string[] = [];
  for (const seed of [11, 12, 11, 12]) hashes.push((await run(seed)).traceHash);
  assert.deepEqual(hashes.slice(0, 2), hashes.slice(2));
  assert.notEqual(hashes[0], hashes[1]);
});

test('the table of planted bugs names those that there are', () => {
  const text = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
  const rows = [...text.matchAll(/^\| ([^|]+) \| (\d [^|]+) \| (\d+) \|$/gm)].map(([, name]) => name);
  assert.deepEqual(
    rows,
    plants.map(({ name }) => name),
  );
});

test('a planted bug is found and named by its check', async (context) => {
  const run = prepare(context);
  let check: string | undefined;
  for (let seed = 1; seed <= 20 && check === undefined; seed++) check = (await run(seed, 'only one workspace is filled')).violation?.check;
  assert.match(check ?? '', /^[0-9] /);
});
