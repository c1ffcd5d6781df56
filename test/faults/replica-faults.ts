// Faults of one replica: its agent dies, its Chroma dies. Chosen anew each time.
import type { E2eReplica } from '../e2e/replica.ts';
import type { Random } from '../simulation/random.ts';
import type { Fault } from './fault.ts';
import type { People } from './people.ts';

export function replicaFaults(replicas: readonly E2eReplica[], people: readonly People[]): readonly Fault[] {
  let place = 0;
  const draw = (random: Random): { replica: E2eReplica; own: People } => {
    place = random.below(replicas.length);
    return now();
  };
  const now = (): { replica: E2eReplica; own: People } => ({
    replica: replicas[place] as E2eReplica,
    own: people[place] as People,
  });
  return [
    {
      name: 'agent killed',
      holdMs: [0, 4_000],
      inject: async (random) => await draw(random).replica.killAgent(),
      proof: async () => {
        const { replica } = now();
        const { signal } = await replica.agent.ended;
        const isGone = await replica.get('/livez').then(
          () => false,
          () => true,
        );
        return signal === 'SIGKILL' && isGone ? 'ended by SIGKILL, its HTTP refuses' : undefined;
      },
      heal: async () => await now().replica.startAgent(),
    },
    {
      name: 'Chroma killed',
      holdMs: [500, 6_000],
      // Not in the middle of what AnythingLLM itself does: it would leave vectors without rows, which are nobody's to find.
      inject: async (random) => {
        const { replica, own } = draw(random);
        await own.between(() => replica.chroma.kill('SIGKILL'));
      },
      proof: async (heard) => {
        const { replica } = now();
        const isGone = await fetch(`${replica.chroma.url}/api/v2/heartbeat`).then(
          () => false,
          () => true,
        );
        if (!isGone) return undefined;
        if (heard.failedWith('chroma_unreachable')) return 'it refuses, and a step of the agent failed';
        const { status, text } = await replica.get('/readyz');
        return status === 503 && text.includes('Chroma') ? 'it refuses, and the agent says so' : undefined;
      },
      heal: async () => await now().replica.chroma.restart(),
    },
  ];
}
