// One replica of a test cluster: a storage, a real Chroma, the stand-in for AnythingLLM, and an agent process beside them.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { statusSchema, type Status } from '@docbus/agent/api.ts';
import { systemClock } from '@docbus/runtime/clock.ts';
import { createEmbedder, type Embedder } from '../embedder/index.ts';
import { startChroma, type ChromaServer } from '../servers/chroma.ts';
import { freePort, spawnProcess, startProcess, waitFor, type ProcessEnd, type Running } from '../servers/process.ts';
import { createStorage, openAppVectors, openStandIn, type StandIn } from '../stand-in/index.ts';
import { openControl, type Control } from './control.ts';

export const TOKEN = 'a-token-for-tests';

export type Environment = Readonly<Record<string, string | undefined>>;
export type Answer = { readonly status: number; readonly body: unknown; readonly text: string };

export type E2eReplica = AsyncDisposable & {
  readonly name: string;
  readonly storageDir: string;
  readonly stateDir: string;
  readonly chroma: ChromaServer;
  readonly embedder: Embedder;
  readonly control: Control;
  /** AnythingLLM; opened when it is first asked for */
  readonly app: StandIn;
  /** Its database handle goes; before the storage is taken away. */
  closeApp(): void;
  /** the agent's process; throws when none was started */
  readonly agent: Running;
  /** Resolves when its HTTP answers. `env` is added to the settings of this and all later starts. */
  startAgent(env?: Environment): Promise<void>;
  /** Starts an agent that is expected to end by itself. */
  runAgent(env?: Environment): Promise<ProcessEnd & { readonly text: string }>;
  /** SIGTERM; the exit code must be 0. */
  stopAgent(): Promise<void>;
  killAgent(): Promise<void>;
  /** Holds the agent before its next read of the log. */
  holdAgent(): Promise<void>;
  /** Throws the storage, the state and Chroma away, and begins with empty ones. The agent must have ended. */
  destroy(): Promise<void>;
  status(): Promise<Status>;
  get(path: string, init?: RequestInit): Promise<Answer>;
  post(path: string, body?: unknown, token?: string): Promise<Answer>;
};

export type ReplicaOptions = {
  readonly name: string;
  readonly directory: string;
  readonly log: string;
  /** the agent's entry: the docbus command, or one that obeys `control` */
  readonly controlled: boolean;
  readonly env: Environment;
  /** default: `storage` and `state` in the replica's directory */
  readonly storageDir?: string;
  readonly stateDir?: string;
  readonly embedder?: Embedder;
};

const root = join(import.meta.dirname, '..', '..');
const command = join(root, 'services', 'cli', 'bin', 'docbus.js');
const controlledEntry = join(import.meta.dirname, 'agent-process.ts');

const START_MS = 30_000;
const ANSWER_MS = 10_000;
const HOLD_MS = 20_000;

export async function startReplica(options: ReplicaOptions): Promise<E2eReplica> {
  const { name, log, controlled, embedder = createEmbedder({ dimensions: 64 }) } = options;
  const directory = join(options.directory, name);
  const { storageDir = join(directory, 'storage'), stateDir = join(directory, 'state') } = options;
  const chromaDir = join(directory, 'chroma');
  mkdirSync(directory, { recursive: true });
  createStorage(storageDir);
  const control = openControl(join(directory, 'control'));
  let chroma = await startChroma({ directory: chromaDir });
  let port = await freePort();
  let env = options.env;
  let app: StandIn | undefined;
  let agent: Running | undefined;

  const settings = (): Environment => ({
    ...unset,
    DOCBUS_REPLICA: name,
    DOCBUS_LOG: log,
    DOCBUS_STORAGE_DIR: storageDir,
    DOCBUS_STATE_DIR: stateDir,
    DOCBUS_HTTP: `127.0.0.1:${port}`,
    DOCBUS_TOKEN: TOKEN,
    DOCBUS_SETTLE_MS: '300',
    DOCBUS_SWEEP_MS: '2000',
    DOCBUS_LOG_LEVEL: 'debug',
    DOCBUS_TEST_CONTROL: control.directory,
    CHROMA_ENDPOINT: chroma.url,
    EMBEDDING_ENGINE: embedder.engine,
    EMBEDDING_MODEL_PREF: embedder.model,
    ...env,
  });
  const spawning = (more: Environment) => ({
    name: `the agent of ${name}`,
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', ...(controlled ? [controlledEntry] : [command, 'agent'])],
    env: { ...settings(), ...more },
    output: join(directory, 'agent.log'),
    stopMs: 15_000,
  });
  const get = async (path: string, init?: RequestInit): Promise<Answer> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { ...init, signal: AbortSignal.timeout(ANSWER_MS) });
    const text = await answer.text();
    return { status: answer.status, text, body: parseJson(text) };
  };
  const post = (path: string, body: unknown = {}, token: string = TOKEN): Promise<Answer> =>
    get(path, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    });
  const running = (): Running => {
    if (agent === undefined) throw new Error(`No agent of ${name} was started.`);
    return agent;
  };
  const closeApp = (): void => {
    app?.[Symbol.dispose]();
    app = undefined;
  };

  return {
    name,
    storageDir,
    stateDir,
    embedder,
    control,
    get chroma() {
      return chroma;
    },
    get app() {
      app ??= openStandIn({ storageDir, vectors: openAppVectors(chroma.url), embedder, clock: systemClock });
      return app;
    },
    closeApp,
    get agent() {
      return running();
    },
    async startAgent(more = {}) {
      env = { ...env, ...more };
      for (let attempt = 1; ; attempt++) {
        try {
          agent = await startProcess({ ...spawning({}), ready: async () => (await get('/livez')).status === 200, readyMs: START_MS });
          return;
        } catch (error) {
          // Between finding a free port and listening on it another process may take it.
          if (attempt === 3 || !(error as Error).message.includes('Cannot listen on')) throw error;
          port = await freePort();
        }
      }
    },
    async runAgent(more = {}) {
      const once = spawnProcess(spawning(more));
      try {
        await waitFor(`the agent of ${name} to end`, () => once.hasEnded(), { deadlineMs: START_MS });
      } finally {
        once.kill('SIGKILL');
      }
      return { ...(await once.ended), text: once.text() };
    },
    async stopAgent() {
      const end = await running().stop();
      if (end.code !== 0) throw new Error(`The agent of ${name} did not stop in order (${end.code ?? end.signal}):\n${running().tail(10)}`);
    },
    async killAgent() {
      running().kill('SIGKILL');
      await running().ended;
    },
    async holdAgent() {
      control.hold();
      await waitFor(
        `the agent of ${name} to be held`,
        async () => {
          // Any command rings the loop's bell; this one does nothing.
          await post('/deletes/approve', { keys: [] }).catch(() => undefined); // it is held before it could answer
          return control.isHeld();
        },
        { deadlineMs: HOLD_MS, everyMs: 20 },
      );
    },
    async destroy() {
      closeApp();
      await chroma.stop();
      for (const place of [storageDir, stateDir, chromaDir]) rmSync(place, { recursive: true, force: true });
      createStorage(storageDir);
      chroma = await startChroma({ directory: chromaDir });
    },
    status: async () => statusSchema.parse((await get('/status')).body),
    get,
    post,
    async [Symbol.asyncDispose]() {
      closeApp();
      if (agent !== undefined) {
        agent.kill('SIGCONT');
        agent.kill('SIGKILL');
        await agent.ended;
      }
      await chroma.stop();
    },
  };
}

/** Variables of whoever runs the tests that an agent would read. */
const unset: Environment = {
  NODE_TEST_CONTEXT: undefined,
  DOCBUS_CACHE: undefined,
  STORAGE_DIR: undefined,
  VECTOR_DB: undefined,
  CHROMA_API_HEADER: undefined,
  CHROMA_API_KEY: undefined,
  DOCBUS_DATABASE: undefined,
  DOCBUS_DELETE_GUARD: undefined,
  DOCBUS_DOCUMENT_BYTES_MAX: undefined,
  DOCBUS_POLLING: undefined,
  CHOKIDAR_USEPOLLING: undefined,
};

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
