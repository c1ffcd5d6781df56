// What a fault is: something that is done to a server or an agent, that must be shown to have taken effect, and that ends again.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { E2eReplica } from '../e2e/replica.ts';
import type { Random } from '../simulation/random.ts';

export type Fault = {
  readonly name: string;
  /** how long it lasts once it has taken effect: at least and at most, in ms */
  readonly holdMs: readonly [number, number];
  inject(random: Random): Promise<void>;
  /** What shows that it has taken effect, in a few words; undefined while nothing does. Asked again and again. */
  proof(heard: Heard): Promise<string | undefined>;
  /** Ends it; what was stopped runs again when this resolves. */
  heal(): Promise<void>;
};

/** What the agents have said since the fault began. */
export type Heard = {
  /** true where an agent failed with one of these codes */
  failedWith(...codes: readonly string[]): boolean;
  /** true where an agent cannot say how far it is behind */
  lagUnknown(): Promise<boolean>;
};

export function listen(replicas: readonly E2eReplica[]): Heard {
  // Not through `agent.output`: a killed agent goes on writing to the same file in its next life.
  const ears = replicas.map(({ agent: { output } }) => ({ output, from: sizeOf(output) }));
  return {
    failedWith: (...codes) =>
      ears.some(({ output, from }) => {
        const text = textFrom(output, from);
        return codes.some((code) => text.includes(`"code":"${code}"`));
      }),
    lagUnknown: async () => {
      for (const replica of replicas) {
        const status = await replica.status().catch(() => undefined); // it may be the one that was killed
        if (status?.lagRecords === null) return true;
      }
      return false;
    },
  };
}

function sizeOf(file: string): number {
  const opened = openSync(file, 'r');
  try {
    return fstatSync(opened).size;
  } finally {
    closeSync(opened);
  }
}

function textFrom(file: string, from: number): string {
  const opened = openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(opened).size - from));
    return bytes.subarray(0, readSync(opened, bytes, 0, bytes.length, from)).toString();
  } finally {
    closeSync(opened);
  }
}
