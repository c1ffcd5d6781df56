// One replica of the demo: storage, a real Chroma, the stand-in that plays AnythingLLM, and an agent in a process of its own.
// Losing it takes everything away but its name; opening it again in the same place begins with nothing.
import { statusSchema, type Status } from '@docbus/agent/api.ts';
import { humanLine, systemClock } from '@docbus/runtime';
import { globSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Embedder } from '../embedder/index.ts';
import { startChroma } from '../servers/chroma.ts';
import { startProcess } from '../servers/process.ts';
import { createStorage, openAppVectors, openStandIn, type StandIn } from '../stand-in/index.ts';

export type ReplicaOptions = {
  readonly name: string;
  /** takes the replica's directories and output files */
  readonly directory: string;
  readonly log: string;
  /** of AnythingLLM, and outside the replica: its counts go on when the replica is lost */
  readonly embedder: Embedder;
  readonly signal: AbortSignal;
};

export type DemoReplica = AsyncDisposable & {
  readonly name: string;
  readonly app: StandIn;
  readonly embedder: Embedder;
  /** when its agent's process was started, in milliseconds since the epoch */
  readonly startedAt: number;
  /** What its agent says. Rejects with the end of the agent's output where that has ended. */
  status(): Promise<Status>;
  /** Documents in its storage, counted there. */
  documents(): number;
  /** Vectors in its Chroma, asked there. */
  vectors(): Promise<number>;
  /** SIGKILL to agent and Chroma, then everything they had is deleted. */
  lose(): Promise<void>;
};

const docbus = resolve(import.meta.dirname, '..', '..', 'services', 'cli', 'bin', 'docbus.js');
/** A machine with two cores that starts six processes at once may take its time. */
const READY_MS = 60_000;

export async function openReplica({ name, directory, log, embedder, signal }: ReplicaOptions): Promise<DemoReplica> {
  const storageDir = join(directory, 'storage');
  const chromaDir = join(directory, 'chroma');
  mkdirSync(directory, { recursive: true });
  createStorage(storageDir);
  await using opened = new AsyncDisposableStack();
  const chroma = opened.use(await startChroma({ directory: chromaDir, signal }));
  const vectors = openAppVectors(chroma.url, signal);
  const app = opened.use(openStandIn({ storageDir, vectors, embedder, clock: systemClock }));
  const startedAt = systemClock.now();
  const agent = opened.use(
    await startProcess(
      {
        name: `The agent of ${name}`,
        command: process.execPath,
        args: [docbus, 'agent'],
        env: {
          ...foreignSettings(),
          DOCBUS_REPLICA: name,
          DOCBUS_LOG: log,
          DOCBUS_STORAGE_DIR: storageDir,
          DOCBUS_HTTP: '127.0.0.1:0',
          CHROMA_ENDPOINT: chroma.url,
          EMBEDDING_ENGINE: embedder.engine,
          EMBEDDING_MODEL_PREF: embedder.model,
        },
        output: join(directory, 'agent.log'),
        ready: async (attempt, text) => (await fetch(`${agentUrl(text())}/livez`, { signal: attempt })).ok,
        readyMs: READY_MS,
      },
      signal,
    ),
  );
  const url = agentUrl(agent.text());
  const kept = opened.move();

  return {
    name,
    app,
    embedder,
    startedAt,
    status: async () => {
      if (agent.hasEnded()) throw new Error(`The agent of ${name} has ended. Its output ends with:\n${readable(agent.tail())}`);
      const answer = await fetch(`${url}/status`, { signal });
      return statusSchema.parse(await answer.json());
    },
    documents: () => globSync('documents/*/*.json', { cwd: storageDir }).length,
    vectors: async () => {
      const counts = (await vectors.collections()).map((collection) => vectors.count(collection));
      return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
    },
    lose: async () => {
      agent.kill('SIGKILL');
      await agent.stop();
      // A server that somebody else runs (DOCBUS_TEST_CHROMA_URL) is emptied instead.
      if (chroma.pid > 0) await chroma.kill('SIGKILL');
      await kept.disposeAsync();
      for (const place of [storageDir, chromaDir]) rmSync(place, { recursive: true, force: true });
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** The agent takes a free port and says which. */
function agentUrl(output: string): string {
  for (const line of output.split('\n')) {
    const port = /"port":(\d+).*"the agent runs"/.exec(line)?.[1];
    if (port !== undefined) return `http://127.0.0.1:${port}`;
  }
  throw new Error('it has not said where it answers');
}

/** The agent's output is JSON lines; a stack trace stays as it is. */
function readable(output: string): string {
  return output
    .split('\n')
    .map((line) => humanLine(`${line}\n`).trimEnd())
    .join('\n');
}

/** Settings of the person's own docbus or AnythingLLM must not reach the demo's agents. */
function foreignSettings(): Record<string, undefined> {
  const foreign = Object.keys(process.env).filter((name) =>
    /^(DOCBUS|CHROMA|EMBEDDING)_|^(STORAGE_DIR|VECTOR_DB|CHOKIDAR_USEPOLLING)$/.test(name),
  );
  return Object.fromEntries(foreign.map((name) => [name, undefined]));
}
