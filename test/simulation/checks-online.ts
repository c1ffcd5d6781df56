// Checks that cannot wait for quiet: of every append, and of every manifest that a crash left behind.
import { compareStamp, documentKey, kindOf, parseKey, sameVersion, workspaceKey, type Change, type Key, type Stamp } from '@docbus/core';
import { isInLostTail } from '@docbus/log/memory.ts';
import type { Position } from '@docbus/log/port.ts';
import type { Manifest } from '@docbus/replica/manifest.ts';
import { numberOf } from './gate.ts';
import type { Appended } from './journal.ts';
import { BROKEN, documentsOn, hashOf, rowsOn } from './pictures.ts';
import { describeChange, Violation, type Machine, type World } from './world.ts';

export function checkAppended(world: World, machine: Machine, { change, content }: Appended): void {
  if (change === undefined) return;
  if (change.state === 'deleted') checkDeletion(world, machine, change);
  if (content !== undefined) {
    try {
      JSON.parse(Buffer.from(content).toString('utf8'));
    } catch {
      throw new Violation('1 only whole documents travel', `${machine.id} published half a document: ${describeChange(change)}`);
    }
  }
}

/** Invariant 6. Its own earlier append of the same deletion is a reason too: an outbox is appended again as it stands. */
function checkDeletion(world: World, machine: Machine, { key, version }: Change): void {
  const deletedByUser = (asked: Key): boolean =>
    machine.approved.has(asked) ||
    world.edits.some((edit) => edit.replica === machine.id && edit.key === asked && edit.after === '' && !edit.reset);
  const published = (asked: Key): boolean =>
    world.journal.some(
      ({ change }) => change?.key === asked && change.state === 'deleted' && (asked !== key || sameVersion(change.version, version)),
    );
  // What was half applied of a record that the log has lost is an edit from then on, as `checkRecordedIsThere` says; the agent notes that it met it.
  const met = machine.manifest?.met(key)?.revision ?? 0;
  const halfApplied = world.journal.some(
    ({ change, epoch, lost }) =>
      change?.key === key && change.state === 'deleted' && change.version.revision <= met && (lost || epoch !== world.epoch),
  );
  if (halfApplied) return;
  const parsed = parseKey(key);
  const reasons: Key[] = [key];
  if (parsed.kind === 'embedding') reasons.push(documentKey(parsed.path));
  if (parsed.kind === 'membership') reasons.push(documentKey(parsed.path), workspaceKey(parsed.slug));
  if (!reasons.some(deletedByUser) && !reasons.some(published))
    throw new Violation('6 absence is not deletion', `${machine.id} published the deletion of ${key}, which nobody deleted there`);
}

/** Invariant 4. What is recorded is on disk and in the log; what lies before the checkpoint is recorded. */
export function checkNotAhead(world: World, machine: Machine, manifest: Manifest): void {
  checkRecordedIsThere(world, machine, manifest);
  checkCheckpoint(world, machine, manifest);
}

function checkRecordedIsThere(world: World, machine: Machine, manifest: Manifest): void {
  const documents = documentsOn(machine.storageDir);
  const rows = machine.reader === undefined ? undefined : rowsOn(machine.reader);
  if (rows === undefined) return;
  const lastEdit = new Map<Key, string>();
  for (const edit of world.edits) if (edit.replica === machine.id && edit.rolledBack !== true) lastEdit.set(edit.key, edit.after);
  const intents = Map.groupBy(manifest.intents(), ({ key }) => key);
  const appended = new Set(world.journal.flatMap(({ change }) => (change === undefined ? [] : [describeChange(change)])));
  // What was half applied of records that the log has lost is an edit from then on: their intents go when the log's end is reached.
  const lost = new Set(
    world.journal.flatMap(({ change, epoch, lost: isLost }) =>
      change !== undefined && (isLost || epoch !== world.epoch) ? [`${change.key} ${change.state === 'deleted' ? '' : change.hash}`] : [],
    ),
  );
  for (const entry of manifest.entries()) {
    const { key, hash, state, applied, logged } = entry;
    if (logged && !appended.has(describeChange({ ...entry, instance: '' } as never)))
      throw new Violation('4 never recorded and unappended', `${machine.id} records ${key} ${state}, which the log never had`);
    const kind = kindOf(key);
    if (kind === 'embedding' || state !== 'present' || !applied) continue;
    const parsed = parseKey(key);
    const text = rows.get(key);
    const found = parsed.kind === 'document' ? (documents.get(parsed.path) ?? '') : text === undefined ? '' : hashOf(text);
    if (found === hash || found === BROKEN || found === lastEdit.get(key)) continue;
    if ((intents.get(key) ?? []).some((intent) => (intent.state === 'deleted' ? '' : intent.hash) === found)) continue;
    if (lost.has(`${key} ${found}`)) continue;
    throw new Violation(
      '4 never recorded and unapplied',
      `${machine.id} records ${key} ${hash.slice(0, 8)}, on disk is "${found.slice(0, 8)}"`,
    );
  }
}

function checkCheckpoint(world: World, machine: Machine, manifest: Manifest): void {
  const checkpoint = manifest.meta('checkpoint');
  if (checkpoint === undefined || !checkpoint.includes(world.store.identity)) return;
  // A checkpoint in a tail that the log has lost says nothing about the records that have its numbers now; the log will say so.
  if (isInLostTail(world.store, checkpoint as Position)) return;
  const winners = new Map<Key, Stamp>();
  // A log that compacts may have lost what a newer record of its key superseded before it was read, even where the newer one loses.
  const superseded = new Set<Key>();
  const upTo = numberOf(checkpoint);
  for (const { change, epoch, number, lost } of world.journal) {
    if (change === undefined || epoch !== world.epoch || lost) continue;
    if (number > upTo) {
      superseded.add(change.key);
      continue;
    }
    const known = winners.get(change.key);
    if (known === undefined || world.compacts || compareStamp(change, known) > 0) winners.set(change.key, change);
  }
  for (const [key, stamp] of winners) {
    const entry = manifest.entry(key);
    if (entry !== undefined && compareStamp(entry, stamp) >= 0) continue;
    if (superseded.has(key) || manifest.quarantinedOf(key).length > 0) continue;
    throw new Violation(
      '4 the checkpoint is not ahead',
      `${machine.id} has read past ${key} ${stamp.version.revision}@${stamp.version.replica} without recording it; it has ${entry === undefined ? 'nothing' : describeChange({ ...entry, instance: '' } as never)}`,
    );
  }
}
