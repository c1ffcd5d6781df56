// npm run simulate: many seeds of the cluster simulation. Prints what fails; the last line is `N passed, M failed`.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createTemplate } from '../stand-in/index.ts';
import { faultNames, type FaultName } from './faults.ts';
import { runSeed, type RunResult } from './run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string' },
    steps: { type: 'string', default: '600' },
    faults: { type: 'string' },
    'no-faults': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const memory = '/dev/shm';
const base = mkdtempSync(join(existsSync(memory) ? memory : tmpdir(), 'docbus-sim-'));
const template = join(base, 'template.db');
createTemplate(template);
const faults = new Set(values['no-faults'] ? [] : ((values.faults?.split(',') ?? faultNames) as FaultName[]));
const seeds = values.seed === undefined ? Array.from({ length: Number(values.seeds) }, (_, index) => index + 1) : [Number(values.seed)];
function save({ seed, trace }: RunResult): void {
  const directory = resolve(import.meta.dirname, '../../.cache/simulation');
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, `seed-${seed}.txt`), `${trace.join('\n')}\n`);
}
let passed = 0;
let failed = 0;
const cpu = process.cpuUsage();
const kinds = new Map<string, number[]>();
for (const seed of seeds) {
  const result = await runSeed({ seed, directory: join(base, `seed-${seed}`), template, steps: Number(values.steps), faults });
  if (values.keep) save(result);
  if (result.violation === undefined) passed += 1;
  else {
    failed += 1;
    kinds.set(result.violation.check, [...(kinds.get(result.violation.check) ?? []), seed]);
    console.log(`SEED=${seed} ${result.violation.check}: ${result.violation.message.slice(0, 1500)}`);
    save(result);
  }
}
rmSync(base, { recursive: true, force: true });
const used = process.cpuUsage(cpu);
for (const [kind, list] of kinds) console.log(`${list.length} × ${kind}: ${list.slice(0, 10).join(' ')}`);
console.log(`${((used.user + used.system) / 1e6 / seeds.length).toFixed(3)} s of CPU per seed`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
