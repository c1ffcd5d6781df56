// What the agent says of itself. Everything is read at the moment it is asked for; only the log's end is remembered for a second,
// so that scrapes and load balancers do not become load on a broker.
import { kinds, type Kind } from '@docbus/core';
import type { LogEnd, Position } from '@docbus/log/port.ts';
import type { Status } from './api.ts';
import type { Agent } from './agent.ts';
import { chromaTrouble } from './chroma-watch.ts';
import { isBootstrapping } from './context.ts';
import { strandedProblems } from './deletions.ts';
import type { Loop } from './run.ts';

export type StatusReader = {
  status(signal: AbortSignal): Promise<Status>;
  /** Sentences about what keeps the replica from being ready; empty when it is. */
  problems(signal: AbortSignal): Promise<readonly string[]>;
  /** undefined while the log cannot be asked */
  lag(signal: AbortSignal): Promise<Lag | undefined>;
};

export type Lag = { readonly records: number; readonly seconds: number | undefined };

const LAG_AGE_MS = 1000;
const ANSWER_MS = 3000;

export function createStatusReader(agent: Agent, loop: Loop, version: string): StatusReader {
  const { manifest, log, replica, clock, settings, state } = agent.context;
  let lastEnd: { readonly at: number; readonly checkpoint: string | undefined; readonly end: LogEnd | undefined } | undefined;

  const lag = async (signal: AbortSignal): Promise<Lag | undefined> => {
    const checkpoint = manifest.meta('checkpoint') as Position | undefined;
    if (lastEnd === undefined || clock.now() - lastEnd.at > LAG_AGE_MS || lastEnd.checkpoint !== checkpoint) {
      const end = await log.end(checkpoint, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])).catch(() => undefined); // an unreachable log is in `problems`
      lastEnd = { at: clock.now(), checkpoint, end };
    }
    const { end } = lastEnd;
    if (end === undefined) return undefined;
    const seconds = end.records === 0 ? 0 : end.oldestTime === undefined ? undefined : Math.max(0, (clock.now() - end.oldestTime) / 1000);
    return { records: end.records, seconds };
  };

  const problems = async (signal: AbortSignal): Promise<readonly string[]> => {
    const troubles = [loop.consume.trouble(), loop.publish.trouble()].filter((trouble) => trouble !== undefined);
    const found = troubles.map(({ code, message }) => ({ code, message }));
    const chroma = await chromaTrouble(replica.vectors, ANSWER_MS, signal);
    if (chroma !== undefined) found.push(chroma);
    // One server that is away fails every request in words of its own; once is enough.
    const isAway = (code: string): boolean => code === 'chroma_unreachable' || code === 'log_unreachable';
    const once = found.filter(({ code }, at) => !isAway(code) || found.findIndex((other) => other.code === code) === at);
    return [
      ...new Set([
        ...once.map(({ message }) => message),
        ...(isBootstrapping(manifest) ? ['The log has not been read to its end yet.'] : []),
      ]),
    ];
  };

  return {
    lag,
    problems,
    async status(signal) {
      const [behind, trouble] = await Promise.all([lag(signal), problems(signal)]);
      const counts = manifest.counts();
      const ofKind = (value: (kind: Kind) => number) =>
        Object.fromEntries(kinds.map((kind) => [kind, value(kind)])) as Record<Kind, number>;
      return {
        replica: settings.replicaId,
        version,
        phase: isBootstrapping(manifest) ? 'bootstrapping' : trouble.length > 0 ? 'waiting' : 'following',
        ready: trouble.length === 0,
        problems: [
          ...trouble,
          ...Object.values(state.problems).flatMap((some) => [...some].map(([name, reason]) => `${name}: ${reason}`)),
          ...strandedProblems(agent.context),
        ],
        lagRecords: behind?.records ?? null,
        lagSeconds: behind?.seconds ?? null,
        digest: manifest.digest,
        present: ofKind((kind) => counts[kind].present),
        chunks: manifest.chunkCount(),
        unpublished: manifest.outboxCount() + candidates(agent) + manifest.unloggedCount(),
        unapplied: kinds.reduce((sum, kind) => sum + counts[kind].unapplied, 0),
        held: manifest.heldCount(),
        quarantined: manifest.quarantinedCount(),
        conflicts: manifest.conflictCount(),
      };
    },
  };
}

/** What the last survey found different; most of it is edits on their way. A file that does not parse is none: it is a problem. */
function candidates({ context: { state } }: Agent): number {
  const { documents, unsettled, memberships, workspaces } = state;
  return [...documents].filter((path) => !unsettled.document.has(path)).length + memberships.size + workspaces.size;
}
