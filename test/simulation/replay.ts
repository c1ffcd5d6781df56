// Two machines that come late: one joins the log as it is, one reads another order of the same changes (invariant 5).
import type { LogRecord } from '@docbus/log/port.ts';
import { compactMemoryStore, openMemoryLog } from '@docbus/log/memory.ts';
import { checkMachine } from './checks.ts';
import { finish } from './quiet.ts';
import { startAgent } from './agent.ts';
import { createMachine, newStore, signal, Violation, type Machine, type World } from './world.ts';

const STEPS_MAX = 3000;

async function readAll(world: World, machine: Machine): Promise<void> {
  startAgent(world, machine);
  for (let step = 0; step < STEPS_MAX; step++) if (!(await finish(world, machine, 'consume'))) return;
  throw new Violation('2 it comes to rest', `${machine.id} never reaches the end of the log`);
}

export async function checkJoin(world: World): Promise<void> {
  const [first] = world.machines;
  if (world.random.chance(0.5)) compactMemoryStore(world.store);
  const before = world.journal.length;
  const machine = createMachine(world, 'late');
  world.machines.push(machine);
  world.trace('late joins');
  await readAll(world, machine);
  for (let round = 0; round < 3; round++) {
    world.now += 20_000;
    for (const one of world.machines) {
      one.agent?.hint({ all: true });
      await finish(world, one, 'publish');
      await finish(world, one, 'consume');
    }
  }
  if (machine.manifest?.digest !== first?.manifest?.digest)
    throw new Violation('5 a late replica gets everything', `its digest differs: ${differences(first, machine)}`);
  if (world.journal.length > before)
    throw new Violation(
      '3 no echo',
      `the log grows because a replica joins: ${world.journal
        .slice(before)
        .map(({ replica, record }) => `${replica} ${record.key}`)
        .join(', ')}`,
    );
  checkMachine(machine);
}

function differences(a: Machine | undefined, b: Machine): string {
  const list = (machine: Machine | undefined): string[] =>
    [...(machine?.manifest?.entries() ?? [])].map(
      ({ key, version, state, hash }) => `${key} ${version.revision}@${version.replica} ${state} ${hash.slice(0, 8)}`,
    );
  const [left, right] = [list(a), list(b)];
  return `${left.filter((line) => !right.includes(line)).join(', ')} | ${right.filter((line) => !left.includes(line)).join(', ')}`;
}

export async function checkReplay(world: World): Promise<void> {
  const [first] = world.machines;
  const other: World = { ...world, machines: [], journal: [], edits: [], store: newStore(world, false), plant: world.plant };
  await openMemoryLog(other.store).append(shuffled(world), signal);
  const machine = createMachine(other, 'replay');
  // For whoever clears up.
  world.machines.push(machine);
  await readAll(other, machine);
  world.machines.pop();
  world.extra.push(machine);
  if (machine.manifest?.digest !== first?.manifest?.digest)
    throw new Violation('5 order does not matter', `another order of the same changes ends elsewhere: ${differences(first, machine)}`);
  checkMachine(machine);
}

/** Any order that keeps each key's own, and parts before their change; some again later. */
function shuffled(world: World): LogRecord[] {
  const { random, epoch } = world;
  // What a log that compacts has dropped is nobody's to replay.
  const journal = world.compacts ? world.store.records.map((record) => ({ record, epoch })) : world.journal.filter(({ lost }) => !lost);
  const queues = new Map<string, LogRecord[][]>();
  let parts: LogRecord[] = [];
  for (const { record, epoch: of } of journal) {
    if (of !== epoch) continue;
    parts.push(record);
    if (record.key.startsWith('part/')) continue;
    const queue = queues.get(record.key) ?? [];
    queues.set(record.key, queue);
    queue.push(parts);
    if (random.chance(0.1)) queue.push(random.pick(queue));
    parts = [];
  }
  const result: LogRecord[] = [];
  const open = [...queues.values()];
  while (open.length > 0) {
    const index = random.below(open.length);
    const unit = open[index]?.shift();
    if (unit === undefined) open.splice(index, 1);
    else result.push(...unit);
  }
  return result;
}
