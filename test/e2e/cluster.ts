// A cluster for end-to-end tests: replicas with real Chroma servers and real agent processes on one log, whichever its URL names.
// Everything that was started is ended when the cluster is disposed. DOCBUS_TEST_KEEP=yes leaves its directory for a look.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Status } from '@docbus/agent/api.ts';
import { openLog } from '@docbus/log';
import type { Log, LogRecord, Position } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import type { Embedder } from '../embedder/index.ts';
import { environment } from '../servers/find.ts';
import { waitFor } from '../servers/process.ts';
import { differences } from './compare.ts';
import { startReplica, type E2eReplica, type Environment } from './replica.ts';

export type ClusterOptions = {
  /** default 3 */
  readonly replicas?: number;
  /** URL of the log; default: a SQLite file of the cluster's own */
  readonly log?: string;
  /** agents that obey `replica.control`; default false: the docbus command */
  readonly controlled?: boolean;
  /** added to every agent's settings */
  readonly env?: Environment;
  /** default true; otherwise `startAgents` begins */
  readonly start?: boolean;
  readonly places?: (
    name: string,
    directory: string,
  ) => { readonly storageDir?: string; readonly stateDir?: string; readonly embedder?: Embedder };
};

export type ConvergedOptions = {
  /** default: all */
  readonly among?: readonly E2eReplica[];
  readonly deadlineMs?: number;
  /** what the replicas must agree on beside being equal: a state that an earlier picture cannot have had */
  readonly when?: (status: Status) => boolean;
};

export type Cluster = AsyncDisposable & {
  readonly directory: string;
  readonly log: string;
  readonly replicas: readonly E2eReplica[];
  readonly startAgents: () => Promise<void>;
  /**
   * Waits until all agents report the same digest, no lag and nothing to do, and then the replicas themselves are compared in depth:
   * files, rows, settings, vectors, answers to questions. Rejects with what differs.
   */
  readonly converged: (options?: ConvergedOptions) => Promise<void>;
  /** Where the log ends now. */
  readonly logEnd: () => Promise<Position | undefined>;
  readonly recordsAfter: (position: Position | undefined) => Promise<readonly LogRecord[]>;
  /** keys of the records after a position, without those of parts */
  readonly keysAfter: (position: Position | undefined) => Promise<readonly string[]>;
  /** Appends as a stranger who has access to the log. */
  readonly append: (...records: LogRecord[]) => Promise<void>;
};

const CONVERGE_MS = 45_000;
const QUESTIONS = ['Which harbour does the ferry leave from?', 'How are the bees kept through the winter?', 'release notes of the printer'];

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { controlled = false, env = {}, start = true } = options;
  const directory = mkdtempSync(join(tmpdir(), 'docbus-e2e-'));
  const log = options.log ?? `sqlite:${join(directory, 'log.db')}`;
  // Whatever fails below ends what was started before it.
  await using starting = new AsyncDisposableStack();
  const own = new AbortController();
  const names = Array.from({ length: options.replicas ?? 3 }, (_, i) => `replica-${i + 1}`);
  const replicas: E2eReplica[] = [];
  for (const name of names) {
    const places = options.places?.(name, join(directory, name)) ?? {};
    replicas.push(starting.use(await startReplica({ name, directory, log, controlled, env, ...places })));
  }
  let opened: Log | undefined;
  const getLog = async (): Promise<Log> =>
    (opened ??= owned.use(await openLog(log, { replica: 'e2e-test', clock: systemClock }, own.signal)));
  const startAgents = async (): Promise<void> => void (await Promise.all(replicas.map((replica) => replica.startAgent())));
  if (start) await startAgents();
  const owned = starting.move();

  const recordsFrom = async (position: Position | undefined) => {
    const found: LogRecord[] = [];
    for (let end = position; ;) {
      const records = await (await getLog()).read(end, { recordsMax: 1000, bytesMax: 64 << 20 }, own.signal);
      const last = records.at(-1);
      if (last === undefined) return { found, end };
      found.push(...records);
      end = last.position;
    }
  };

  return {
    directory,
    log,
    replicas,
    startAgents,
    converged: (asked) => converged({ among: replicas, ...asked }),
    logEnd: async () => (await recordsFrom(undefined)).end,
    recordsAfter: async (position) => (await recordsFrom(position)).found,
    keysAfter: async (position) => (await recordsFrom(position)).found.map(({ key }) => key).filter((key) => !key.startsWith('part/')),
    append: async (...records) => await (await getLog()).append(records, own.signal),
    async [Symbol.asyncDispose]() {
      await owned.disposeAsync();
      own.abort();
      if (environment('DOCBUS_TEST_KEEP') === undefined) rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function converged({
  among,
  deadlineMs = CONVERGE_MS,
  when,
}: ConvergedOptions & { readonly among: readonly E2eReplica[] }): Promise<void> {
  let last: readonly string[] = ['nothing was seen yet'];
  try {
    await waitFor(
      'all replicas to be identical',
      async () => {
        for (const { name, agent } of among)
          if (agent.hasEnded()) throw new EndedEarly(`The agent of ${name} has ended by itself. Its output ends with:\n${agent.tail(15)}`);
        last = await unlikeness(among, when);
        return last.length === 0;
      },
      { deadlineMs, everyMs: 100 },
    );
  } catch (error) {
    const outputs = among.map(({ name, agent }) => `--- the agent of ${name} (${agent.output}):\n${agent.tail(8)}`);
    assert.fail(`${(error as Error).message} ${reason(error)}\n${last.slice(0, 20).join('\n')}\n${outputs.join('\n')}`);
  }
}

class EndedEarly extends Error {}

function reason(error: unknown): string {
  const { cause } = error as Error;
  return cause instanceof Error ? cause.message : '';
}

/** Why the replicas are not (known to be) identical; [] where they are. */
async function unlikeness(among: readonly E2eReplica[], when: ConvergedOptions['when']): Promise<readonly string[]> {
  const statuses = await Promise.all(among.map((replica) => replica.status()));
  const busy = statuses.filter(({ phase, lagRecords, unpublished }) => phase !== 'following' || lagRecords !== 0 || unpublished !== 0);
  if (busy.length > 0 || new Set(statuses.map(({ digest }) => digest)).size > 1) return statuses.map((status) => JSON.stringify(status));
  const unwanted = when === undefined ? [] : statuses.filter((status) => !when(status));
  if (unwanted.length > 0)
    return ['identical, but not in the state that was waited for', ...unwanted.map((status) => JSON.stringify(status))];
  const pictures = await Promise.all(among.map(async ({ name, app }) => ({ name, inspection: await app.inspect() })));
  const found = differences(pictures);
  if (found.length > 0) return found;
  return await unequalAnswers(among, [...(pictures[0]?.inspection.workspaces.keys() ?? [])]);
}

type Passage = { readonly text?: string | null | undefined; readonly distance: number };

/** Distances read back differ by 1e-7; and of passages that are equally far, which are the last to be named is anybody's guess. */
const TOLERANCE = 1e-4;

function isAlike(a: readonly Passage[], b: readonly Passage[]): boolean {
  const last = Math.max(...a.map(({ distance }) => distance));
  const nearer = (passages: readonly Passage[]): string =>
    passages
      .filter(({ distance }) => distance < last - TOLERANCE)
      .map(({ text }) => text ?? '')
      .toSorted()
      .join('\n');
  const isNear = ({ distance }: Passage, index: number): boolean => Math.abs(distance - (b[index]?.distance ?? Infinity)) < TOLERANCE;
  return a.length === b.length && a.every(isNear) && nearer(a) === nearer(b);
}

/** The same question must find the same passages everywhere. */
async function unequalAnswers(among: readonly E2eReplica[], slugs: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const slug of slugs)
    for (const question of QUESTIONS) {
      const [first, ...others] = await Promise.all(among.map(async ({ app }) => await app.query(slug, question, 3)));
      const unlike = others.find((answer) => first !== undefined && !isAlike(first, answer));
      if (unlike !== undefined)
        found.push(`"${question}" in ${slug} is not answered alike: ${JSON.stringify(first)} and ${JSON.stringify(unlike)}`);
    }
  return found;
}
