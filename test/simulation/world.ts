// The simulated world: one clock, one log, several machines with an AnythingLLM and an agent each. Nothing here decides anything;
// run.ts draws what happens next, checks.ts judges what came of it.
import { mkdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Agent } from '@docbus/agent';
import { createAttempt, type Attempt } from '@docbus/agent/attempt.ts';
import type { AgentOptions, AgentSettings } from '@docbus/agent/context.ts';
import { createFakeChroma, type FakeChroma } from '@docbus/replica/chroma-fake.ts';
import type { Manifest } from '@docbus/replica/manifest.ts';
import { createMemoryStore, type MemoryStore } from '@docbus/log/memory.ts';
import type { Change, DocPath, Key } from '@docbus/core';
import type { Clock, Logger } from '@docbus/runtime';
import { createEmbedder, type Embedder } from '../embedder/index.ts';
import { createStorage, openStandIn, type StandIn } from '../stand-in/index.ts';
import { createAppVectors } from './app-vectors.ts';
import type { Backup, FaultName } from './faults.ts';
import type { Session, SessionChances } from './gate.ts';
import type { Appended, UserEdit } from './journal.ts';
import type { Operation } from './operations.ts';
import type { Random } from './random.ts';

/** A violated invariant; `name` begins with its number. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly check: string;

  constructor(check: string, message: string) {
    super(message);
    this.check = check;
  }
}

/** One bug, planted between the agent and its ports. */
export type Plant = {
  readonly name: string;
  /** it takes these faults, beside the usual ones, to show */
  readonly faults?: readonly FaultName[];
  readonly options?: (options: AgentOptions) => AgentOptions;
  readonly agent?: (agent: Agent) => Agent;
};

export type Running = { readonly name: string; result: 'running' | 'done' | { readonly error: unknown }; more: boolean };

export type Machine = {
  readonly id: string;
  readonly storageDir: string;
  readonly stateDir: string;
  chroma: FakeChroma;
  /** vector ids that AnythingLLM itself added */
  readonly appAdded: Set<string>;
  /** vector ids and docIds that AnythingLLM itself left without a row */
  readonly leftovers: Set<string>;
  /** vector ids that a row led to when the operation began */
  covered: Set<string>;
  /** the operation under way met an error, or was broken off */
  troubled: boolean;
  /** docIds in a workspace whose vectors AnythingLLM itself took away, when it could not write its rows */
  readonly damaged: Set<string>;
  /** `<key> <hash>` of what its agent has put on disk here, and how many edits there were then */
  readonly given: Map<string, readonly number[]>;
  /** `<key> <hash>` of what its last agent had noted as put on disk and had not recorded when it died */
  landed: ReadonlySet<string>;
  /** what documents/ holds, kept up to date by whoever writes there: hash or BROKEN */
  readonly files: Map<DocPath, string>;
  app: StandIn | undefined;
  reader: DatabaseSync | undefined;
  operation: Operation | undefined;
  session: Session | undefined;
  manifest: Manifest | undefined;
  agent: Agent | undefined;
  publish: Attempt | undefined;
  consume: Attempt | undefined;
  readonly opened: Disposable[];
  running: Running | undefined;
  /** where the volume is while it is gone */
  volume: 'there' | 'gone' | 'empty' | 'new' | 'no documents' | 'new database';
  lock: DatabaseSync | undefined;
  backup: Backup | undefined;
  /** how many edits there were when it last forgot what it knew */
  forgot: number;
  /** and how long the journal was then */
  forgotAt: number;
  /** and how long it was when the backup was taken that it was put back to; 0 without one */
  backupAt: number;
  /** the embedder that its agent is told of */
  model: string;
  /** keys whose deletion the operator approved */
  readonly approved: Set<Key>;
  /** keys of the deletions that the operator had reverted last */
  reverted: ReadonlySet<Key>;
  foreignRows: string;
  foreignFiles: string;
  rowsSeen: { version: unknown; rows: Map<Key, string> } | undefined;
};

export type World = {
  readonly random: Random;
  readonly clock: Clock;
  readonly directory: string;
  readonly template: string;
  readonly store: MemoryStore;
  readonly embedder: Embedder;
  readonly machines: Machine[];
  /** machines of other worlds, to be cleared up with this one */
  readonly extra: Machine[];
  readonly journal: Appended[];
  readonly edits: UserEdit[];
  /** what was ever kept under conflicts/: `<key> <hash>` */
  readonly kept: Set<string>;
  /** keys of poisoned changes */
  readonly poisoned: Set<string>;
  readonly settings: Omit<AgentSettings, 'replicaId' | 'embedder'>;
  readonly chances: SessionChances;
  readonly plant: Plant | undefined;
  readonly trace: (line: string) => void;
  now: number;
  epoch: number;
  logDown: boolean;
  /** the log may have removed superseded records */
  compacts: boolean;
  /** how many of the operations that wait for a server are slow */
  slow: number;
  /** people watch sources, and these change often */
  watchful: boolean;
  quiet: boolean;
};

export const signal = new AbortController().signal;

/** File times advance in these steps, as a kernel's do. */
const TICK_MS = 10;

/** Gives a file the time of the simulation. */
export function stamp(world: World, file: string): void {
  const seconds = (Math.floor(world.now / TICK_MS) * TICK_MS) / 1000;
  try {
    utimesSync(file, seconds, seconds);
  } catch {
    return; // it went away meanwhile
  }
}

export function createClock(random: Random, now: () => number): Clock {
  return {
    now,
    random: (count) => random.bytes(count),
    breathe: () => Promise.resolve(),
    sleep: () => Promise.reject(new Error('no step of an agent sleeps')),
  };
}

export function createLogger(trace: (line: string) => void, id: string): Logger {
  const line =
    (level: string) =>
    (fields: Readonly<Record<string, unknown>>, message: string): void => {
      const shown = ['key', 'code', 'reason', 'kind', 'count', 'changes', 'records', 'applied', 'winner', 'loser']
        .filter((name) => fields[name] !== undefined)
        .map((name) => `${name}=${String(fields[name])}`);
      trace(`${id} ${level} ${message} ${shown.join(' ')}`.replaceAll(/\/[^ ]*docbus-sim[^ ]*/g, '…'));
    };
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

export const databaseOf = ({ storageDir }: Machine): string => join(storageDir, 'anythingllm.db');

export function createMachine(world: World, id: string): Machine {
  const machine: Machine = {
    id,
    storageDir: join(world.directory, id, 'storage'),
    stateDir: join(world.directory, id, 'state'),
    chroma: createFakeChroma(),
    appAdded: new Set(),
    leftovers: new Set(),
    covered: new Set(),
    troubled: false,
    damaged: new Set(),
    given: new Map(),
    landed: new Set(),
    files: new Map(),
    app: undefined,
    reader: undefined,
    operation: undefined,
    session: undefined,
    manifest: undefined,
    agent: undefined,
    publish: undefined,
    consume: undefined,
    opened: [],
    running: undefined,
    volume: 'there',
    lock: undefined,
    backup: undefined,
    forgot: 0,
    forgotAt: 0,
    backupAt: 0,
    model: world.embedder.model,
    approved: new Set(),
    reverted: new Set(),
    foreignRows: '',
    foreignFiles: '',
    rowsSeen: undefined,
  };
  mkdirSync(machine.stateDir, { recursive: true });
  createStorage(machine.storageDir, world.template);
  startApp(world, machine);
  return machine;
}

export function startApp(world: World, machine: Machine): void {
  machine.app = openStandIn({
    storageDir: machine.storageDir,
    vectors: createAppVectors(() => machine.chroma, machine.appAdded),
    embedder: world.embedder,
    clock: world.clock,
    busyMs: 0,
  });
  machine.reader = new DatabaseSync(databaseOf(machine), { readOnly: true });
  machine.rowsSeen = undefined;
}

export function stopApp(machine: Machine): void {
  machine.app?.[Symbol.dispose]();
  machine.reader?.close();
  machine.app = machine.reader = undefined;
  machine.operation = undefined;
}

export function attemptsOf(agent: Agent, clock: Clock, logger: Logger): { readonly publish: Attempt; readonly consume: Attempt } {
  return {
    publish: createAttempt('publish', agent.publishOnce, { agent, clock, logger }),
    consume: createAttempt('consume', agent.consumeOnce, { agent, clock, logger }),
  };
}

/** One turn of the event loop, in which no simulated time passes: everything that the promises of this process have to do, done; after this, agents wait at a gate or not at all. */
export function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function newStore(world: { readonly clock: Clock }, compactsAtAppend: boolean): MemoryStore {
  return createMemoryStore({ clock: world.clock, compactsAtAppend });
}

export function newEmbedder(dimensions: number): Embedder {
  return createEmbedder({ dimensions, maxChunkLength: 80 });
}

export function describeChange({ key, version, state, hash }: Change): string {
  return `${key} ${version.revision}@${version.replica} ${state === 'deleted' ? 'deleted' : hash.slice(0, 8)}`;
}
