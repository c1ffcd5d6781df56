// npm test: every *.test.ts in one run of node's own runner, the simulation's seeds last (test/simulation-seeds.test.ts),
// so that its totals are the last thing printed and its exit code speaks for everything.
//   npm test                     everything
//   npm test -- shared/log http  files whose path holds one of the words
//   npm run test:unit            shared/ and services/ only: no servers, no seeds
import { stopSignal } from '@docbus/runtime';
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';

/** A file that hangs must not hold CI for ever. */
const FILE_MS_MAX = 15 * 60_000;
/** Two: the files with real servers have processes of their own, and the smallest machine we support has two cores. */
const FILES_AT_ONCE = 2;

const { values, positionals } = parseArgs({ options: { unit: { type: 'boolean', default: false } }, allowPositionals: true });
const root = resolve(import.meta.dirname, '..');
const places = values.unit ? ['shared', 'services'] : ['shared', 'services', 'test'];
const isSeeds = (file: string): boolean => file.endsWith('simulation-seeds.test.ts');
const files = globSync(`{${places.join(',')}}/**/*.test.ts`, { cwd: root, exclude: (name) => name.split('/').includes('node_modules') })
  .filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)))
  .toSorted((a, b) => Number(isSeeds(a)) - Number(isSeeds(b)) || (a < b ? -1 : 1));

if (files.length === 0) {
  console.error(`No test file matches ${positionals.join(' ')}.`);
  process.exit(2);
}

const tests = run({
  files: files.map((file) => resolve(root, file)),
  concurrency: FILES_AT_ONCE,
  timeout: FILE_MS_MAX,
  signal: stopSignal(),
});
process.exitCode = 1; // until the runner has said otherwise
tests.on('test:summary', ({ file, success }) => {
  if (file === undefined) process.exitCode = success ? 0 : 1;
});
tests.compose(spec).pipe(process.stdout);
