// What goes wrong. Drawn by run.ts; each fault leaves the world in a state that a real one leaves.
import { bury } from './agent.ts';
import type { Outcome } from './gate.ts';
import { breakOff } from './people.ts';
import type { Machine, World } from './world.ts';

export const faultNames = ['crash', 'calls', 'people', 'busy', 'disk', 'chroma'] as const;
export type FaultName = (typeof faultNames)[number];

/** How a call over a network ends. */
export function drawOutcome(world: World, machine: Machine, name: string, faults: ReadonlySet<FaultName>): Outcome {
  const { random } = world;
  if (world.logDown && name.startsWith('log.')) return 'failed';
  if (faults.has('crash') && random.chance(0.01)) return random.pick(['crash before', 'crash after']);
  if (faults.has('calls') && random.chance(0.06)) return random.pick(['failed', 'lost', 'half', 'twice', 'again']);
  void machine;
  return 'done';
}

export async function drawFault(world: World, machine: Machine, faults: ReadonlySet<FaultName>): Promise<void> {
  const { random } = world;
  const name = random.pick([...faults]);
  switch (name) {
    case 'crash':
      if (machine.session !== undefined) bury(world, machine);
      break;
    case 'people':
      await breakOff(world, machine);
      break;
    case 'chroma':
      machine.chroma.up = !machine.chroma.up;
      world.trace(`${machine.id} Chroma is ${machine.chroma.up ? 'up' : 'down'}`);
      break;
    default:
      break;
  }
}

export function endFaults(world: World): void {
  world.logDown = false;
  for (const machine of world.machines) machine.chroma.up = true;
}
