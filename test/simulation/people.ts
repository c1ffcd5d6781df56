// People at work on one machine: an operation goes on one effect at a time, and what each effect changed is written down.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { documentKey, type DocPath, type Key, type Slug } from '@docbus/core';
import type { Effect } from '../stand-in/index.ts';
import { cacheName, collectionName } from '../stand-in/names.ts';
import { numberOf } from './gate.ts';
import { drawOperation, embeds, sightOf, waits, type Operation } from './operations.ts';
import {
  BROKEN,
  documentHash,
  documentsOn,
  foreignFilesOn,
  foreignRowsOn,
  hashOf,
  membershipRowsOn,
  rowsOn,
  vectorIdsOn,
} from './pictures.ts';
import { drain, stamp, Violation, type Machine, type World } from './world.ts';

export async function beginOperation(world: World, machine: Machine, slowly = world.slow): Promise<void> {
  const { app, reader } = machine;
  if (app === undefined || reader === undefined || machine.operation !== undefined) return;
  const slugs = reader
    .prepare('select slug from workspaces order by id')
    .all()
    .map(({ slug }) => String(slug) as Slug);
  const operation = drawOperation(app, sightOf(machine.storageDir, membershipRowsOn(reader), slugs), world.random, world.watchful);
  if (operation === undefined || (machine.model !== world.embedder.model && embeds.has(operation.name))) return;
  checkOwnGround(machine);
  const slow = slowly > 0 && waits.has(operation.name) && world.random.chance(world.watchful ? 0.8 : slowly);
  machine.operation = { ...operation, since: world.edits.length, slow };
  machine.covered = coveredOn(machine);
  world.trace(`${machine.id} people: ${slow ? 'slowly ' : ''}${operation.name}`);
}

/** Half a file is written in no time; everything else may wait for a server. */
const midFile = new Set(['document truncated', 'document half written', 'cache truncated', 'cache half written']);

/** Lets an agent believe that this operation must be over. */
function pause(world: World, operation: Operation, { done }: Effect): void {
  if (operation.slow !== true || midFile.has(done) || !world.random.chance(0.3)) return;
  operation.pausedUntil = world.now + world.settings.settleMs * (1 + 3 * world.random.next());
}

export function isPaused(world: World, { pausedUntil = 0 }: Operation): boolean {
  return world.now < pausedUntil;
}

/** One effect. Ends the operation when it is done, or when AnythingLLM answers with an error. */
export async function goOn(world: World, machine: Machine): Promise<void> {
  const { operation } = machine;
  if (operation === undefined) return;
  const before = rowsNow(machine);
  let effect: Effect | undefined;
  try {
    const step = await operation.steps.next();
    effect = step.done === true ? undefined : step.value;
  } catch (error) {
    machine.troubled = true;
    world.trace(`${machine.id} people: ${operation.name} fails: ${error instanceof Error ? error.message.slice(0, 80) : ''}`);
  }
  if (effect?.done === 'error swallowed') machine.troubled = true;
  if (effect?.done === 'error swallowed' && effect.to === 'workspace_vectors_reset') looksLikeRemovals(world, machine, operation);
  noteFiles(world, machine, operation, effect);
  noteRows(world, machine, operation, before);
  if (effect === undefined) return endOperation(world, machine);
  world.trace(`${machine.id}   ${effect.done} ${effect.to}`);
  pause(world, operation, effect);
}

/** As if AnythingLLM had been killed there. */
export async function breakOff(world: World, machine: Machine): Promise<void> {
  const { operation } = machine;
  if (operation === undefined) return;
  await operation.steps.return(undefined);
  await drain();
  // A text that AnythingLLM has begun to write over is gone, by its own doing.
  for (const [path, state] of machine.files)
    if (state.startsWith(BROKEN))
      for (const edit of world.edits)
        if (edit.replica === machine.id && edit.key === documentKey(path) && edit.after === whole(state)) edit.exempt = true;
  if (operation.reset) looksLikeRemovals(world, machine, operation);
  world.trace(`${machine.id} people: ${operation.name} is broken off`);
  machine.troubled = true;
  endOperation(world, machine);
}

function endOperation(world: World, machine: Machine): void {
  machine.operation = undefined;
  const { reader } = machine;
  if (reader === undefined) return;
  noteForeign(machine);
  noteLeftovers(machine);
  if (world.quiet) return;
  const { random } = world;
  if (machine.agent !== undefined && random.chance(0.6)) machine.agent.hint({ sweep: true });
}

/** What is not the agent's business, as it is now. */
export function noteForeign(machine: Machine): void {
  if (machine.reader === undefined) return;
  machine.foreignRows = foreignRowsOn(machine.reader);
  machine.foreignFiles = foreignFilesOn(machine.storageDir);
}

/** Invariant 7, between two operations: nobody but the agent could have changed anything. */
export function checkOwnGround(machine: Machine): void {
  const { reader } = machine;
  if (reader === undefined || machine.foreignRows === '' || machine.volume !== 'there') return;
  if (foreignRowsOn(reader) !== machine.foreignRows)
    throw new Violation('7 own ground only', `rows of other tables changed on ${machine.id}`);
  if (foreignFilesOn(machine.storageDir) !== machine.foreignFiles)
    throw new Violation('7 own ground only', `files outside documents/ and vector-cache/ changed on ${machine.id}`);
}

/** Vector ids that a row of workspace_documents leads to. */
function coveredOn({ reader }: Machine): Set<string> {
  if (reader === undefined) return new Set();
  const docIds = new Set(membershipRowsOn(reader).map(({ docId }) => docId));
  return new Set([...vectorIdsOn(reader)].filter(([docId]) => docIds.has(docId)).flatMap(([, ids]) => ids));
}

/** What AnythingLLM's own carelessness left in Chroma and document_vectors. */
function noteLeftovers(machine: Machine): void {
  const { reader, leftovers, damaged, appAdded, chroma } = machine;
  if (reader === undefined) return;
  const rows = membershipRowsOn(reader);
  const docIds = new Set(rows.map(({ docId }) => docId));
  const covered = coveredOn(machine);
  for (const [docId, ids] of vectorIdsOn(reader)) {
    if (docIds.has(docId)) continue;
    // Those that an agent has just added for a row that is still to come are of ids that AnythingLLM never made.
    if (ids.every((id) => appAdded.has(id) || (machine.troubled && machine.covered.has(id)))) leftovers.add(docId);
  }
  for (const collection of chroma.collections.values())
    for (const id of collection.rows.keys())
      if (!covered.has(id) && (appAdded.has(id) || (machine.troubled && machine.covered.has(id)))) leftovers.add(id);
  if (!machine.troubled) return;
  machine.troubled = false;
  const links = vectorIdsOn(reader);
  for (const { slug, docId } of rows) {
    const ids = links.get(docId) ?? [];
    const held = chroma.collections.get(collectionName(slug))?.rows;
    if (ids.length === 0 || !ids.every((id) => held?.has(id))) damaged.add(docId);
  }
}

function rowsNow(machine: Machine): Map<Key, string> {
  const { reader } = machine;
  if (reader === undefined) return new Map();
  const version = reader.prepare('pragma data_version').get()?.['data_version'];
  const known = machine.rowsSeen;
  const seen = known !== undefined && known.version === version ? known : { version, rows: rowsOn(reader) };
  machine.rowsSeen = seen;
  return seen.rows;
}

/** A reset that did not get as far as its event, or whose event AnythingLLM could not write, looks like removals to anybody. */
function looksLikeRemovals(world: World, machine: Machine, { since }: Operation): void {
  for (const edit of world.edits) if (edit.replica === machine.id && edit.seq >= since) edit.reset = false;
}

function noteRows(world: World, machine: Machine, operation: Operation, before: Map<Key, string>): void {
  const after = rowsNow(machine);
  if (after === before) return;
  for (const [key, text] of after)
    if (before.get(key) !== text) note(world, machine, operation, key, before.has(key) ? hashOf(before.get(key)!) : '', hashOf(text));
  for (const [key, text] of before) if (!after.has(key)) note(world, machine, operation, key, hashOf(text), '');
}

/** How long the journal was up to the record of that number: the last one, where the log has given it twice. */
function seenUpTo({ journal, epoch }: World, number: number): number {
  return journal.findLastIndex((appended) => appended.epoch === epoch && appended.number === number) + 1;
}

function note(world: World, machine: Machine, { name, reset }: Operation, key: Key, before: string, after: string): void {
  const { edits, journal } = world;
  const checkpoint = machine.manifest?.meta('checkpoint') ?? machine.manifest?.meta('former');
  const seen = checkpoint?.includes(world.store.identity) === true ? seenUpTo(world, numberOf(checkpoint)) : 0;
  edits.push({
    seq: edits.length,
    replica: machine.id,
    key,
    before,
    after,
    at: journal.length,
    seen,
    operation: name,
    landed: before !== '' && hasLanded(machine, key, before),
    reset,
    exempt: after === '' && machine.running?.name === 'revert' && machine.reverted.has(key),
    firstContact: machine.manifest?.meta('bootstrapped') === undefined,
  });
  world.trace(`${machine.id}   edit ${key} ${before.slice(0, 8)} -> ${after.slice(0, 8)}`);
}

/** Asks the manifest, or, while there is no agent, what it said when the last one died. */
function hasLanded({ manifest, landed }: Machine, key: Key, hash: string): boolean {
  return manifest === undefined ? landed.has(`${key} ${hash}`) : manifest.hasLanded(key, hash);
}

/** Text that is being written is no edit yet; what was there before it counts as replaced once the new text is whole. */
function noteFiles(world: World, machine: Machine, operation: Operation, effect: Effect | undefined): void {
  if (effect === undefined) return;
  const { files, storageDir } = machine;
  const path = effect.to as DocPath;
  const file = join(storageDir, 'documents', path);
  switch (effect.done) {
    case 'document truncated':
    case 'document half written':
      stamp(world, file);
      files.set(path, `${BROKEN} ${whole(files.get(path))}`);
      break;
    case 'document written':
      stamp(world, file);
      changed(world, machine, operation, path);
      break;
    case 'document moved':
      for (const known of files.keys()) if (!existsSync(join(storageDir, 'documents', known))) changed(world, machine, operation, known);
      changed(world, machine, operation, path);
      break;
    case 'document removed':
      changed(world, machine, operation, path);
      break;
    case 'folder removed':
      for (const known of files.keys()) if (known.startsWith(`${effect.to}/`)) changed(world, machine, operation, known);
      break;
    case 'cache truncated':
    case 'cache half written':
    case 'cache written':
      stamp(world, join(storageDir, 'vector-cache', cacheName(path)));
      break;
    default:
      break;
  }
}

function whole(known: string | undefined): string {
  return known === undefined ? '' : known.startsWith(BROKEN) ? known.slice(BROKEN.length + 1) : known;
}

function changed(world: World, machine: Machine, operation: Operation, path: DocPath): void {
  const before = whole(machine.files.get(path));
  const hash = documentHash(join(machine.storageDir, 'documents', path));
  if (hash === undefined) machine.files.delete(path);
  else machine.files.set(path, hash === BROKEN ? `${BROKEN} ${before}` : hash);
  const after = hash === undefined ? '' : hash;
  if (after !== BROKEN && after !== before) note(world, machine, operation, documentKey(path), before, after);
}

/** After a disk came back or went: what is there is what is there. */
export function lookAgain(machine: Machine): void {
  const before = new Map(machine.files);
  machine.files.clear();
  for (const [path, hash] of documentsOn(machine.storageDir))
    machine.files.set(path, hash === BROKEN ? `${BROKEN} ${whole(before.get(path))}` : hash);
  machine.rowsSeen = undefined;
}

/** An operation that was not drawn. */
export function beginNamed(world: World, machine: Machine, operation: Operation): void {
  checkOwnGround(machine);
  machine.operation = { ...operation, since: world.edits.length };
  machine.covered = coveredOn(machine);
  world.trace(`${machine.id} people: ${operation.name}`);
}
