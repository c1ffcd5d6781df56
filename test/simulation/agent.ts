// The agent of a simulated machine: the real steps over the real manifest, files and rows, the Chroma and the log in memory.
import { join } from 'node:path';
import { createAgent, type Agent } from '@docbus/agent';
import { openConflictFiles } from '@docbus/agent/conflict-files.ts';
import type { AgentOptions } from '@docbus/agent/context.ts';
import { guardStorage } from '@docbus/agent/storage-guard.ts';
import { contentHash, documentKey, isDocbusError, membershipKey, sha256, workspaceKey, type Key } from '@docbus/core';
import { openMemoryLog } from '@docbus/log/memory.ts';
import type { Log } from '@docbus/log/port.ts';
import { openCaches } from '@docbus/replica/caches.ts';
import { openDocuments } from '@docbus/replica/documents.ts';
import { openManifest } from '@docbus/replica/manifest.ts';
import type { Caches, Documents, Records } from '@docbus/replica/port.ts';
import { openRecords } from '@docbus/replica/records.ts';
import { createFakeVectors } from '@docbus/replica/vectors-fake.ts';
import { checkAppended, checkNotAhead } from './checks-online.ts';
import { Crash, gateOptions, numberOf, type Session } from './gate.ts';
import { journalOf } from './journal.ts';
import {
  attemptsOf,
  createLogger,
  databaseOf,
  describeChange,
  drain,
  signal,
  stamp,
  Violation,
  type Machine,
  type World,
} from './world.ts';

export function startAgent(world: World, machine: Machine): void {
  const { clock, random, chances } = world;
  const session: Session = {
    id: machine.id,
    alive: true,
    parked: [],
    depth: 0,
    trace: (line) => world.trace(`${machine.id} ${line}`),
    chance: chances,
    random,
  };
  const manifest = openManifest({ directory: machine.stateDir, clock });
  const records = openRecords({ databasePath: databaseOf(machine), clock, busyMs: 0 });
  machine.opened.push(records, manifest);
  const { storageDir } = machine;
  const logger = createLogger((line) => session.alive && world.trace(line), machine.id);
  let options: AgentOptions = {
    replica: {
      documents: watchDocuments(world, machine, openDocuments({ storageDir, clock, documentBytesMax: 1 << 24, durable: false })),
      caches: watchCaches(world, machine, openCaches({ storageDir, clock, durable: false })),
      records: watchRecords(world, machine, records),
      vectors: createFakeVectors(machine.chroma),
    },
    log: watchLog(world, machine),
    manifest,
    conflicts: watchConflicts(world, machine),
    clock,
    logger,
    settings: { ...world.settings, replicaId: machine.id, embedder: { engine: 'test', model: machine.model } },
  };
  options = world.plant?.options?.(options) ?? options;
  let agent: Agent = createAgent(gateOptions(session, options));
  agent = world.plant?.agent?.(agent) ?? agent;
  const guarded = guardStorage(agent, { storageDir, replicaId: machine.id, lock: { check: () => {} } });
  Object.assign(machine, { session, manifest, agent: guarded, running: undefined, ...attemptsOf(guarded, clock, logger) });
}

function give({ edits }: World, { given }: Machine, key: Key, hash: string): void {
  const name = `${key} ${hash}`;
  given.set(name, [...(given.get(name) ?? []), edits.length]);
}

function watchDocuments(world: World, machine: Machine, documents: Documents): Documents {
  return {
    ...documents,
    write: (path, bytes) => {
      documents.write(path, bytes);
      machine.files.set(path, sha256(bytes));
      give(world, machine, documentKey(path), sha256(bytes));
      stamp(world, join(machine.storageDir, 'documents', path));
    },
    remove: (path) => {
      documents.remove(path);
      machine.files.delete(path);
    },
  };
}

function watchCaches(world: World, machine: Machine, caches: Caches): Caches {
  return {
    ...caches,
    write: (path, embedding, ids) => {
      caches.write(path, embedding, ids);
      stamp(world, join(machine.storageDir, 'vector-cache', caches.name(path)));
    },
  };
}

function watchRecords(world: World, machine: Machine, records: Records): Records {
  return {
    ...records,
    putWorkspace: (slug, content) => {
      records.putWorkspace(slug, content);
      give(world, machine, workspaceKey(slug), contentHash(content));
    },
    setMemberships: (writes) => {
      for (const { slug, path, copies } of writes) give(world, machine, membershipKey(slug, path), contentHash({ copies }));
      return records.setMemberships(writes);
    },
  };
}

function watchConflicts(world: World, machine: Machine): AgentOptions['conflicts'] {
  const files = openConflictFiles(machine.stateDir);
  return {
    ...files,
    save: (key, version, content) => {
      const file = files.save(key, version, content);
      const hash = key.startsWith('document/') ? sha256(content) : contentHash(JSON.parse(new TextDecoder().decode(content)));
      world.kept.add(`${key} ${hash}`);
      world.trace(`${machine.id} keeps ${key} ${version} ${hash.slice(0, 8)}`);
      return file;
    },
  };
}

function watchLog(world: World, machine: Machine): Log {
  const { store } = world;
  const log = openMemoryLog(store, { replica: machine.id });
  return {
    ...log,
    read: async (after, limits, stop) => {
      const records = await log.read(after, limits, stop);
      if (records.length > 0)
        world.trace(`${machine.id} reads ${numberOf(records[0]?.position)}-${numberOf(records.at(-1)?.position)} after ${numberOf(after)}`);
      return records;
    },
    append: async (records, stop) => {
      const before = store.last;
      await log.append(records, stop);
      for (const [index, record] of records.entries()) {
        const appended = journalOf(machine.id, before + index + 1, world.epoch, record);
        if (appended.change !== undefined) world.trace(`${machine.id} appends ${appended.number} ${describeChange(appended.change)}`);
        checkAppended(world, machine, appended);
        world.journal.push(appended);
      }
    },
  };
}

/** Begins a step; it runs as far as it gets without being let through a gate. */
export async function startStep(machine: Machine, name: 'publish' | 'consume' | 'approve' | 'revert' | 'retry'): Promise<void> {
  const { agent } = machine;
  if (agent === undefined) return;
  const running = { name, result: 'running', more: false } as NonNullable<Machine['running']>;
  machine.running = running;
  const work = async (): Promise<unknown> => {
    switch (name) {
      case 'publish':
      case 'consume':
        return machine[name]?.run(signal);
      case 'approve': {
        for (const { key } of machine.manifest?.held() ?? []) machine.approved.add(key);
        return agent.approveDeletions();
      }
      case 'revert':
        return agent.revertDeletions(undefined, signal);
      case 'retry':
        return agent.retryQuarantined(undefined, signal);
    }
  };
  work().then(
    (result) => {
      running.result = 'done';
      running.more = typeof result === 'object' && result !== null && 'more' in result && result.more === true;
    },
    (error: unknown) => void (running.result = { error }),
  );
  await drain();
}

/** After anything that an agent may have got on by: buries the dead, ends steps, and lets no error pass that is not docbus' own. */
export function settle(world: World, machine: Machine): void {
  const { session, running } = machine;
  if (session !== undefined && !session.alive) return bury(world, machine);
  if (running === undefined || running.result === 'running') return;
  machine.running = undefined;
  if (running.result === 'done') return;
  const { error } = running.result;
  if (error instanceof Crash) return bury(world, machine);
  if (error instanceof Violation) throw error;
  if (!isDocbusError(error)) throw new Violation('0 an error of its own', `${machine.id} ${running.name}: ${stackOf(error)}`);
  world.trace(`${machine.id} ${running.name} ends: ${error.code}`);
  if (error.remedy === 'exit') {
    if (error.code !== 'manifest_corrupt') throw new Violation('0 exits for no reason', `${machine.id}: ${error.code} ${error.message}`);
    bury(world, machine);
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? `${error.stack}${error.cause === undefined ? '' : `\ncause: ${stackOf(error.cause)}`}` : String(error);
}

/** The process is gone: what it had open is closed, what it had begun in SQLite is rolled back. */
export function bury(world: World, machine: Machine): void {
  const { session } = machine;
  if (session === undefined) return;
  session.alive = false;
  session.parked = [];
  if (machine.manifest !== undefined && machine.volume === 'there' && machine.lock === undefined)
    checkNotAhead(world, machine, machine.manifest);
  const landed = (machine.manifest?.intents() ?? []).filter(({ key, hash }) => machine.manifest?.hasLanded(key, hash));
  machine.landed = new Set(landed.map(({ key, hash }) => `${key} ${hash}`));
  for (const opened of machine.opened.splice(0)) opened[Symbol.dispose]();
  Object.assign(machine, {
    session: undefined,
    manifest: undefined,
    agent: undefined,
    running: undefined,
    publish: undefined,
    consume: undefined,
  });
  world.trace(`${machine.id} is dead`);
}
