// What goes wrong. Drawn by run.ts; each fault leaves the world in a state that a real one leaves.
import { cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Key } from '@docbus/core';
import { createFakeChroma, type FakeChroma } from '@docbus/replica/chroma-fake.ts';
import { compactMemoryStore, loseMemoryTail, recreateMemoryStore } from '@docbus/log/memory.ts';
import { createStorage } from '../stand-in/index.ts';
import { bury } from './agent.ts';
import type { Outcome } from './gate.ts';
import type { UserEdit } from './journal.ts';
import { breakOff, lookAgain, noteForeign } from './people.ts';
import { appendPoison } from './poison.ts';
import { databaseOf, startApp, stopApp, type Machine, type World } from './world.ts';

export const faultNames = [
  'crash',
  'calls',
  'people',
  'busy',
  'disk',
  'chroma',
  'lock',
  'log',
  'compact',
  'recreate',
  'tail',
  'state',
  'backup',
  'volume',
  'poison',
  'embedder',
  'slow',
] as const;
export type FaultName = (typeof faultNames)[number];

const weights: Readonly<Record<FaultName, number>> = {
  crash: 4,
  calls: 0,
  people: 2,
  busy: 0,
  disk: 0,
  chroma: 2,
  lock: 2,
  log: 1,
  compact: 1,
  recreate: 0.15,
  tail: 0.4,
  state: 0.4,
  backup: 0.8,
  volume: 0.8,
  poison: 0.6,
  embedder: 0,
  slow: 0,
};

/** How a call over a network ends. */
export function drawOutcome(world: World, name: string, faults: ReadonlySet<FaultName>): Outcome {
  const { random } = world;
  if (world.logDown && name.startsWith('log.')) return 'failed';
  if (faults.has('crash') && random.chance(0.01)) return random.pick(['crash before', 'crash after']);
  if (faults.has('calls') && random.chance(0.06)) return random.pick(['failed', 'lost', 'half', 'twice', 'again']);
  return 'done';
}

export async function drawFault(world: World, machine: Machine, faults: ReadonlySet<FaultName>): Promise<void> {
  const { random } = world;
  const name = random.weighted([...faults].map((fault) => [weights[fault], fault] as const));
  switch (name) {
    case 'crash':
      return bury(world, machine);
    case 'people':
      return await breakOff(world, machine);
    case 'chroma':
      machine.chroma.up = !machine.chroma.up;
      return world.trace(`${machine.id} Chroma is ${machine.chroma.up ? 'up' : 'down'}`);
    case 'lock':
      return toggleLock(world, machine);
    case 'log':
      world.logDown = !world.logDown;
      return world.trace(`the log is ${world.logDown ? 'away' : 'back'}`);
    case 'compact':
      compactMemoryStore(world.store);
      world.compacts = true;
      return world.trace('the log is compacted');
    case 'recreate':
      recreateMemoryStore(world.store);
      world.epoch += 1;
      return world.trace('the log is made anew');
    case 'tail':
      return loseTail(world, 1 + random.below(6));
    case 'state':
      return loseState(world, machine);
    case 'backup':
      return machine.backup === undefined ? await takeBackup(world, machine) : await restoreBackup(world, machine);
    case 'volume':
      return machine.volume === 'there' ? await takeVolume(world, machine) : returnVolume(world, machine);
    case 'poison':
      return await appendPoison(world);
    case 'calls':
    case 'busy':
    case 'disk':
    case 'embedder':
    case 'slow':
      return;
  }
}

export function endFaults(world: World): void {
  world.logDown = false;
  for (const machine of world.machines) {
    machine.chroma.up = true;
    if (machine.lock !== undefined) toggleLock(world, machine);
    if (machine.volume !== 'there') returnVolume(world, machine);
    if (machine.model !== world.embedder.model) {
      machine.model = world.embedder.model;
      bury(world, machine);
    }
  }
}

/** Somebody else writes to the database and does not come to an end. */
function toggleLock(world: World, machine: Machine): void {
  if (machine.lock !== undefined) {
    machine.lock.close();
    machine.lock = undefined;
    return world.trace(`${machine.id} the database is free`);
  }
  if (machine.volume !== 'there') return;
  machine.lock = new DatabaseSync(databaseOf(machine), { timeout: 0 });
  machine.lock.exec('begin immediate');
  world.trace(`${machine.id} the database is locked`);
}

/**
 * The log loses its newest records, as a broker does that acknowledges before it flushes. What such a log compacts it has flushed, so what
 * has taken an older record's place is not lost.
 */
export function loseTail(world: World, count: number): void {
  const { store, journal, epoch } = world;
  const kept = Math.max(store.records.length - count, 0);
  const held = new Set(store.records.map(({ number }) => number));
  const first = store.records[kept]?.number;
  if (first === undefined) return;
  const here = journal.filter((appended) => appended.epoch === epoch && !appended.lost);
  const lost = here.filter(({ number }) => number >= first);
  const keys = new Set(lost.map(({ record }) => record.key));
  if (here.some(({ number, record }) => keys.has(record.key) && !held.has(number))) return;
  world.trace(`the log loses its last ${loseMemoryTail(store, kept)} records, from ${first}`);
  for (const appended of lost) appended.lost = true;
}

/** What nobody has read yet, perhaps not even its author. */
export function drawTail(world: World, call: string, faults: ReadonlySet<FaultName>): void {
  if (faults.has('tail') && call.startsWith('log.append') && world.random.chance(0.01)) loseTail(world, 1 + world.random.below(3));
}

/** Whether the change that an edit asks for was ever appended by its own replica. */
function isPublished(world: World, { key, after, at, replica }: UserEdit): boolean {
  return world.journal.slice(at).some(({ change, replica: by }) => by === replica && change?.key === key && change.hash === after);
}

function exemptUnpublished(world: World, machine: Machine, which: (edit: UserEdit) => boolean): void {
  for (const edit of world.edits) if (edit.replica === machine.id && which(edit) && !isPublished(world, edit)) edit.exempt = true;
}

/** What people deleted and nobody was told comes back: the log is all that is known then. Their texts are still protected. */
function loseState(world: World, machine: Machine): void {
  if (machine.volume !== 'there') return;
  bury(world, machine);
  rmSync(machine.stateDir, { recursive: true, force: true });
  mkdirSync(machine.stateDir);
  if (machine.backup !== undefined) dropBackup(machine);
  machine.forgot = world.edits.length;
  machine.forgotAt = world.journal.length;
  machine.backupAt = 0;
  machine.landed = new Set();
  exemptUnpublished(world, machine, ({ after }) => after === '');
  world.trace(`${machine.id} lost its state`);
}

export type Backup = {
  readonly directory: string;
  readonly chroma: FakeChroma;
  readonly edits: number;
  readonly journal: number;
  readonly approved: ReadonlySet<Key>;
};

function cloneChroma(chroma: FakeChroma): FakeChroma {
  const clone = createFakeChroma();
  for (const [name, { rows }] of chroma.collections) {
    const collection = clone.getOrCreate(name);
    for (const [id, row] of rows) collection.rows.set(id, row);
  }
  return clone;
}

async function takeBackup(world: World, machine: Machine): Promise<void> {
  if (machine.volume !== 'there' || machine.lock !== undefined || machine.operation !== undefined) return;
  bury(world, machine);
  const directory = join(world.directory, machine.id, 'backup');
  cpSync(machine.storageDir, join(directory, 'storage'), { recursive: true, preserveTimestamps: true });
  cpSync(machine.stateDir, join(directory, 'state'), { recursive: true, preserveTimestamps: true });
  machine.backup = {
    directory,
    chroma: cloneChroma(machine.chroma),
    edits: world.edits.length,
    journal: world.journal.length,
    approved: new Set(machine.approved),
  };
  world.trace(`${machine.id} backup taken`);
}

function dropBackup(machine: Machine): void {
  if (machine.backup !== undefined) rmSync(machine.backup.directory, { recursive: true, force: true });
  machine.backup = undefined;
}

async function restoreBackup(world: World, machine: Machine): Promise<void> {
  const { backup } = machine;
  if (backup === undefined || machine.volume !== 'there' || machine.lock !== undefined) return;
  await breakOff(world, machine);
  bury(world, machine);
  stopApp(machine);
  for (const [from, to] of [
    ['storage', machine.storageDir],
    ['state', machine.stateDir],
  ] as const) {
    rmSync(to, { recursive: true, force: true });
    cpSync(join(backup.directory, from), to, { recursive: true, preserveTimestamps: true });
  }
  const { up } = machine.chroma;
  machine.chroma = cloneChroma(backup.chroma);
  machine.chroma.up = up;
  exemptUnpublished(world, machine, ({ seq }) => seq >= backup.edits);
  for (const edit of world.edits) if (edit.replica === machine.id && edit.seq >= backup.edits) edit.rolledBack = true;
  machine.forgot = world.edits.length;
  machine.forgotAt = world.journal.length;
  machine.backupAt = backup.journal;
  machine.landed = new Set();
  dropBackup(machine);
  startApp(world, machine);
  lookAgain(machine);
  noteForeign(machine);
  world.trace(`${machine.id} backup restored`);
}

const away = (machine: Machine, name: string): string => join(machine.storageDir, '..', `away-${name}`);

/** The agent is not told: it may be in the middle of a step. */
async function takeVolume(world: World, machine: Machine): Promise<void> {
  if (machine.lock !== undefined) return;
  const volume = world.random.pick(['gone', 'empty', 'new', 'no documents', 'new database'] as const);
  // A database in which nothing ever happened cannot be told from another one.
  if (volume === 'new database' && Number(machine.manifest?.meta('event_sequence') ?? 0) === 0) return;
  // Nor is a place missed by an agent that never saw it.
  if (machine.manifest?.meta('storage') === undefined) return;
  if (volume === 'no documents' && !machine.manifest.hasPresent('document')) return;
  await breakOff(world, machine);
  stopApp(machine);
  const { storageDir } = machine;
  const documents = join(storageDir, 'documents');
  machine.volume = volume;
  world.trace(`${machine.id} the volume: ${volume}`);
  switch (volume) {
    case 'gone':
    case 'empty':
    case 'new':
      renameSync(storageDir, away(machine, 'storage'));
      if (volume !== 'gone') mkdirSync(storageDir);
      if (volume === 'new') createStorage(storageDir, world.template);
      return;
    case 'no documents':
      if (existsSync(documents)) renameSync(documents, away(machine, 'documents'));
      return;
    case 'new database':
      renameSync(databaseOf(machine), away(machine, 'database'));
      createStorage(storageDir, world.template);
      return;
  }
}

/** What was written in its place meanwhile is gone with the place. */
function returnVolume(world: World, machine: Machine): void {
  const { storageDir } = machine;
  const documents = join(storageDir, 'documents');
  switch (machine.volume) {
    case 'there':
      return;
    case 'gone':
    case 'empty':
    case 'new':
      rmSync(storageDir, { recursive: true, force: true });
      renameSync(away(machine, 'storage'), storageDir);
      break;
    case 'no documents':
      if (!existsSync(away(machine, 'documents'))) break;
      // Where no document was left to be missed, the agent could not know: what it wrote is put back with the rest.
      cpSync(away(machine, 'documents'), documents, { recursive: true, preserveTimestamps: true });
      rmSync(away(machine, 'documents'), { recursive: true });
      break;
    case 'new database':
      rmSync(databaseOf(machine), { force: true });
      renameSync(away(machine, 'database'), databaseOf(machine));
      break;
  }
  // Mounting takes a restart.
  bury(world, machine);
  machine.volume = 'there';
  startApp(world, machine);
  lookAgain(machine);
  noteForeign(machine);
  world.trace(`${machine.id} the volume is back`);
}
