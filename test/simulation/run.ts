// One seed: draws what happens, lets it quiet down, and checks. The order of everything follows from the seed alone.
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { defaultSettings } from '@docbus/agent/context.ts';
import { settle, startAgent, startStep } from './agent.ts';
import { checkAll } from './checks.ts';
import { drawFault, drawOutcome, drawTail, type FaultName } from './faults.ts';
import { checkJoin, checkReplay } from './replay.ts';
import type { SessionChances } from './gate.ts';
import { beginOperation, breakOff, goOn, isPaused } from './people.ts';
import { exemptReverted, quieten } from './quiet.ts';
import { createRandom } from './random.ts';
import {
  createClock,
  createMachine,
  drain,
  newEmbedder,
  newStore,
  stopApp,
  Violation,
  type Machine,
  type Plant,
  type World,
} from './world.ts';

export type RunOptions = {
  readonly seed: number;
  readonly directory: string;
  readonly template: string;
  readonly steps: number;
  /** which faults there are */
  readonly faults: ReadonlySet<FaultName>;
  readonly plant?: Plant;
};

export type RunResult = {
  readonly seed: number;
  readonly violation: { readonly check: string; readonly message: string } | undefined;
  readonly trace: readonly string[];
  readonly traceHash: string;
  readonly appended: number;
};

const START = Date.UTC(2026, 2, 1);

export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { seed, directory } = options;
  const trace: string[] = [];
  const world = createWorld(options, trace);
  mkdirSync(directory, { recursive: true });
  let violation: RunResult['violation'];
  try {
    await live(world, options);
    await quieten(world);
    checkAll(world);
    await checkReplay(world);
    await checkJoin(world);
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = { check: error.check, message: error.message };
    trace.push(`VIOLATION ${error.check}: ${error.message}`);
  } finally {
    world.quiet = true;
    for (const machine of [...world.machines, ...world.extra]) {
      machine.lock?.close();
      for (const opened of machine.opened.splice(0)) opened[Symbol.dispose]();
      stopApp(machine);
    }
    rmSync(directory, { recursive: true, force: true });
  }
  const traceHash = createHash('sha256').update(trace.join('\n')).digest('hex').slice(0, 16);
  return { seed, violation, trace, traceHash, appended: world.journal.length };
}

function createWorld({ seed, directory, template, faults, plant }: RunOptions, trace: string[]): World {
  const random = createRandom(seed);
  const some = (name: FaultName, choices: readonly number[]): number => (faults.has(name) ? random.pick(choices) : 0);
  const chances: SessionChances = {
    crash: some('crash', [0, 0.0005, 0.002, 0.006]),
    busy: some('busy', [0, 0.002, 0.01]),
    disk: some('disk', [0, 0.002, 0.01]),
    pause: random.pick([0, 0.2, 0.5]),
  };
  const world: World = {
    random,
    clock: createClock(random, () => world.now),
    directory,
    template,
    store: undefined as never,
    embedder: newEmbedder(random.pick([8, 24, 48])),
    machines: [],
    extra: [],
    journal: [],
    edits: [],
    kept: new Set(),
    poisoned: new Set(),
    settings: {
      ...defaultSettings,
      readRecordsMax: random.pick([1, 3, 10, 1000]),
      publishChangesMax: random.pick([1, 4, 200]),
      guard: { count: random.pick([2, 5, 10]), share: 0.2 },
      vectorsPerRequest: { following: random.pick([1, 3, 300]), bootstrapping: random.pick([2, 1000]) },
      groupDocumentsMax: random.pick([1, 2, 1000]),
      wholeSweepMs: 40_000,
    },
    chances,
    plant,
    trace: (line) => trace.push(`${world.now - START} ${line}`),
    now: START,
    epoch: 0,
    logDown: false,
    compacts: false,
    slow: 0,
    watchful: false,
    quiet: false,
  };
  world.slow = some('slow', [0, 0.1, 0.5]);
  world.watchful = world.slow > 0 && random.chance(0.5);
  world.compacts = random.chance(0.4);
  Object.assign(world, { store: newStore(world, world.compacts) });
  const count = random.weighted([
    [2, 2],
    [5, 3],
    [2, 4],
    [1, 5],
  ] as const);
  for (let index = 0; index < count; index++) world.machines.push(createMachine(world, `r${index + 1}`));
  // One agent is told of another embedder than its application has, until somebody notices.
  if (faults.has('embedder') && random.chance(0.1)) random.pick(world.machines).model = 'other';
  return world;
}

/** How likely people are to begin something, set against everything else that may happen. */
async function live(world: World, { steps, faults }: RunOptions): Promise<void> {
  const { random, machines } = world;
  // Some begin with documents of their own, before any agent was there.
  for (const machine of machines)
    if (random.chance(0.3)) for (let count = random.below(6); count > 0; count--) await wholeOperation(world, machine);
  const rush = random.pick([0.03, 0.08, 0.2]);
  for (let step = 0; step < steps; step++) {
    // A reset removes rows first and logs its event a moment later, never seconds later.
    const resetting = machines.some(({ operation }) => operation?.reset === true);
    world.now += !resetting && random.chance(0.03) ? 200 + random.below(3000) : random.below(9);
    const machine = random.pick(machines);
    if (faults.size > 0 && random.chance(0.02)) await drawFault(world, machine, faults);
    else if (machine.operation !== undefined && !isPaused(world, machine.operation) && random.chance(0.5)) {
      if (faults.has('people') && random.chance(0.01)) await breakOff(world, machine);
      else await goOn(world, machine);
    } else if (machine.operation === undefined && random.chance(rush)) {
      if (random.chance(0.4)) await wholeOperation(world, machine);
      else await beginOperation(world, machine);
    } else await stepAgent(world, machine, faults);
    for (const one of machines) settle(world, one);
  }
}

export async function wholeOperation(world: World, machine: Machine): Promise<void> {
  await beginOperation(world, machine, 0);
  while (machine.operation !== undefined) {
    world.now += world.random.below(5);
    await goOn(world, machine);
  }
}

async function stepAgent(world: World, machine: Machine, faults: RunOptions['faults']): Promise<void> {
  const { random } = world;
  const { session, agent, running } = machine;
  if (session === undefined || agent === undefined) {
    if (random.chance(0.2) && machine.volume !== 'gone') startAgent(world, machine);
    return;
  }
  if (session.parked.length > 0) {
    const parked = random.pick(session.parked);
    const outcome = drawOutcome(world, parked.name, faults);
    world.trace(`${machine.id} ${parked.name} ${outcome}`);
    parked.release(outcome);
    await drain();
    drawTail(world, parked.name, faults);
    return;
  }
  if (running !== undefined)
    throw new Violation('0 a step waits for something', `${machine.id} ${running.name} waits for nothing that the simulation knows`);
  if (random.chance(0.1)) agent.hint({ sweep: true });
  const name = random.weighted([
    [10, 'publish'],
    [10, 'consume'],
    [0.3, 'approve'],
    [0.3, 'revert'],
    [0.3, 'retry'],
  ] as const);
  if ((name === 'approve' || name === 'revert') && (machine.volume !== 'there' || machine.manifest?.held().length === 0)) return;
  if (name === 'revert') exemptReverted(world, machine, new Set(machine.manifest?.held().map(({ key }) => key)));
  world.trace(`${machine.id} ${name}`);
  await startStep(machine, name);
}
