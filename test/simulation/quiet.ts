// Quiet: no more faults, everything restarted, broken operations put right by people, held deletions decided by the operator.
// Then a bounded number of rounds must bring all replicas together, and one more must change nothing.
import { documentKey, parseKey, workspaceKey, type Key } from '@docbus/core';
import { settle, startAgent, startStep } from './agent.ts';
import { endFaults } from './faults.ts';
import { goOn, beginNamed } from './people.ts';
import { BROKEN, documentsOn, membershipRowsOn } from './pictures.ts';
import { drain, Violation, type Machine, type World } from './world.ts';

const ROUNDS_MAX = 80;
const QUIET_ROUNDS = 3;

export async function quieten(world: World): Promise<void> {
  world.quiet = true;
  Object.assign(world.chances, { crash: 0, busy: 0, disk: 0, pause: 0 });
  world.trace('quiet');
  endFaults(world);
  for (const machine of world.machines) while (machine.operation !== undefined) await goOn(world, machine);
  await allowTime(world);
  for (const machine of world.machines) if ((machine.manifest?.quarantined().length ?? 0) > 0) await finish(world, machine, 'retry');
  for (const machine of world.machines) await putRight(world, machine);
  await allowTime(world);
  // What people put right on one machine may have left a row without a file on another.
  for (const machine of world.machines) await putRight(world, machine);
  await allowTime(world);
  const before = world.journal.length;
  for (let round = 0; round < QUIET_ROUNDS; round++) await turn(world);
  if (world.journal.length > before)
    throw new Violation(
      '3 no echo',
      `nobody edits, and the log grows: ${world.journal
        .slice(before)
        .map(({ replica, record }) => `${replica} ${record.key}`)
        .join(', ')}`,
    );
}

/** Rounds until nothing changes any more. */
async function allowTime(world: World): Promise<void> {
  let calm = 0;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = pictureOf(world);
    await turn(world);
    calm = pictureOf(world) === before ? calm + 1 : 0;
    if (calm >= 2) return;
  }
  throw new Violation('2 it comes to rest', `after ${ROUNDS_MAX} rounds without faults there is still movement`);
}

const pictureOf = (world: World): string =>
  JSON.stringify([
    world.journal.length,
    world.machines.map(({ manifest }) => [
      manifest?.digest,
      manifest?.meta('checkpoint'),
      manifest?.intents().length,
      manifest?.held().length,
    ]),
  ]);

async function turn(world: World): Promise<void> {
  world.now += 20_000;
  for (const machine of world.machines) {
    if (machine.agent === undefined) startAgent(world, machine);
    machine.agent?.hint({ sweep: true });
    await stepsOf(world, machine);
    const held = machine.manifest?.held() ?? [];
    if (held.length > 0) {
      const decision = world.random.chance(0.5) ? 'approve' : 'revert';
      world.trace(`${machine.id} operator: ${decision} ${held.map(({ key }) => key).join(' ')}`);
      if (decision === 'revert') exemptReverted(world, machine, new Set(held.map(({ key }) => key)));
      await finish(world, machine, decision);
    }
  }
}

/**
 * What the operator undoes is no longer protected; nor what it cannot be undone without: a membership comes back with its workspace and its
 * document. A deletion in the moment in which it is being undone is taken back with the others.
 */
export function exemptReverted(world: World, machine: Machine, keys: ReadonlySet<Key>): void {
  const undone = new Set(keys);
  for (const key of keys) {
    const parsed = parseKey(key);
    if (parsed.kind === 'membership') undone.add(workspaceKey(parsed.slug)).add(documentKey(parsed.path));
  }
  for (const edit of world.edits) if (edit.replica === machine.id && edit.after === '' && undone.has(edit.key)) edit.exempt = true;
  machine.reverted = undone;
}

const STEPS_MAX = 400;

async function stepsOf(world: World, machine: Machine): Promise<void> {
  for (let step = 0; step < STEPS_MAX; step++) {
    const more = await finish(world, machine, 'consume');
    const again = await finish(world, machine, 'publish');
    if (!more && !again) return;
  }
  throw new Violation('2 it comes to rest', `${machine.id} always has more to do`);
}

/** One step to its end; a step that is under way is ended first. */
export async function finish(world: World, machine: Machine, name: Parameters<typeof startStep>[1]): Promise<boolean> {
  await letThrough(world, machine);
  if (machine.agent === undefined) startAgent(world, machine);
  await startStep(machine, name);
  const { running } = machine;
  await letThrough(world, machine);
  return running?.more ?? false;
}

async function letThrough(world: World, machine: Machine): Promise<void> {
  while (machine.session !== undefined && machine.session.parked.length > 0) {
    const [parked] = machine.session.parked;
    world.trace(`${machine.id} ${parked?.name} done`);
    parked?.release('done');
    await drain();
  }
  settle(world, machine);
  if (machine.running !== undefined)
    throw new Violation(
      '0 a step waits for something',
      `${machine.id} ${machine.running.name} waits for nothing that the simulation knows`,
    );
}

/** People find what a crash of AnythingLLM left: a file that is cut off, a document in a workspace whose file is gone. */
async function putRight(world: World, machine: Machine): Promise<void> {
  const { app, reader } = machine;
  if (app === undefined || reader === undefined) return;
  const files = documentsOn(machine.storageDir);
  const broken = [...files].filter(([, hash]) => hash === BROKEN).map(([path]) => path);
  const orphaned = membershipRowsOn(reader)
    .filter(({ path }) => !files.has(path))
    .map(({ path }) => path);
  for (const path of new Set([...broken, ...orphaned])) {
    // One removal takes one row of a document that is in a workspace several times.
    for (let row = 0; row === 0 || (row < 9 && membershipRowsOn(reader).some((other) => other.path === path)); row++) {
      beginNamed(world, machine, { name: `remove again ${path}`, steps: app.steps.removeDocument(path), reset: false, since: 0 });
      while (machine.operation !== undefined) await goOn(world, machine);
    }
  }
}
