// The checks after quiet. Each carries the number of its invariant in ARCHITECTURE.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  compareStamp,
  decodeEmbedding,
  documentKey,
  embeddingKey,
  parseKey,
  sameVersion,
  workspaceKey,
  type Embedding,
  type Key,
} from '@docbus/core';
import { unpackPayload } from '@docbus/log';
import { parseCache } from '@docbus/replica/cache-file.ts';
import { cacheName } from '@docbus/replica/caches.ts';
import { collectionName } from '@docbus/replica/collection-name.ts';
import type { Recorded } from '@docbus/replica/manifest.ts';
import type { UserEdit } from './journal.ts';
import { checkNotAhead } from './checks-online.ts';
import { numberOf } from './gate.ts';
import { checkOwnGround } from './people.ts';
import { BROKEN, documentsOn, hashOf, membershipRowsOn, rowsOn, vectorIdsOn } from './pictures.ts';
import { describeChange, Violation, type Machine, type World } from './world.ts';

function fail(check: string, message: string): never {
  throw new Violation(check, message);
}

export function checkAll(world: World): void {
  checkConverged(world);
  for (const machine of world.machines) {
    checkMachine(machine);
    checkOwnGround(machine);
    checkLocalColumns(machine);
    if (machine.manifest !== undefined) checkNotAhead(world, machine, machine.manifest);
  }
  checkEmbeddingsKept(world);
  exemptLost(world);
  checkNothingLost(world);
  checkEdits(world);
  checkNotUndone(world);
  checkQuarantine(world);
}

function checkConverged(world: World): void {
  const [first, ...others] = world.machines;
  if (first?.manifest === undefined) fail('2 agents are up', 'an agent is not running');
  for (const { id, manifest } of world.machines) {
    if (manifest === undefined) fail('2 agents are up', `the agent of ${id} is not running`);
    const left = world.store.last - numberOf(manifest.meta('checkpoint'));
    const hidden = world.store.records.filter(({ number }) => number > numberOf(manifest.meta('checkpoint'))).length;
    if (hidden > 0) fail('2 no lag', `${id} lags ${left} records`);
    if (manifest.outbox().length > 0) fail('2 nothing unsent', `${id} has an outbox`);
    if (manifest.unloggedCount() > 0) fail('2 nothing unlogged', `${id} has ${manifest.unloggedCount()} entries that the log lacks`);
    if (manifest.held().length > 0)
      fail(
        '2 nothing held',
        `${id} holds ${manifest
          .held()
          .map(({ key }) => key)
          .join(', ')}`,
      );
  }
  for (const other of others)
    if (other.manifest?.digest !== first.manifest.digest)
      fail('2 digests are equal', `${first.id} and ${other.id} differ: ${difference(first, other)}`);
  for (const { id, manifest } of world.machines) {
    const entries = [...(manifest?.entries() ?? [])].map(say);
    const expected = [...(first.manifest.entries() ?? [])].map(say);
    if (entries.join() !== expected.join())
      fail(
        '2 equal digests are equal manifests',
        `${first.id} and ${id}: ${entries.filter((entry) => !expected.includes(entry)).join(', ')}`,
      );
  }
}

/**
 * Whoever still has the embedding of a document that stays publishes it again (revive.ts). Only of a document that was gone, and that
 * somebody made anew who knew so, nobody has one: it is embedded when somebody embeds it. Nor has anybody where it was made anew on a
 * replica that had lost its state, and the others had heard of its end long before they heard of that.
 */
export function checkEmbeddingsKept({ machines, journal, edits }: World): void {
  const { manifest } = machines[0] as Machine;
  for (const { key } of manifest?.entries() ?? []) {
    const parsed = parseKey(key);
    if (parsed.kind !== 'membership' || manifest?.entry(embeddingKey(parsed.path))?.state !== 'deleted') continue;
    const [document, ...others] = [documentKey(parsed.path), workspaceKey(parsed.slug), key].map((needed) => manifest.entry(needed));
    if (document?.state !== 'present' || others.some((entry) => entry?.state !== 'present')) continue;
    const isMadeAnew = journal.some(
      ({ change, replica }, index) =>
        change?.key === document.key &&
        change.state === 'deleted' &&
        (document.base[change.version.replica] ?? 0) >= change.version.revision &&
        edits.some((edit) => edit.key === document.key && edit.before === '' && (edit.replica === replica ? edit.at : edit.seen) > index),
    );
    const isFirstContact = edits.some(
      ({ key: made, replica, before, after, at, firstContact }) =>
        firstContact &&
        made === document.key &&
        replica === document.version.replica &&
        before === '' &&
        after === document.hash &&
        journal.some(({ change }, index) => index < at && change?.key === made && change.state === 'deleted'),
    );
    if (!isMadeAnew && !isFirstContact)
      fail('2 embeddings', `the embedding of ${parsed.path}, which is in ${parsed.slug}, is deleted, and they are not`);
  }
}

const say = ({ key, version, state, hash }: Recorded): string =>
  `${key} ${version.revision}@${version.replica} ${state === 'present' ? hash.slice(0, 8) : state}`;

function difference(a: Machine, b: Machine): string {
  const left = [...(a.manifest?.entries() ?? [])].map(say);
  const right = [...(b.manifest?.entries() ?? [])].map(say);
  return `${left.filter((entry) => !right.includes(entry)).join(', ')} | ${right.filter((entry) => !left.includes(entry)).join(', ')}`;
}

/** Invariant 2 on one machine: files, rows, vectors and caches are what the manifest says. */
export function checkMachine(machine: Machine): void {
  const { manifest, reader, id } = machine;
  if (manifest === undefined || reader === undefined) return;
  const entries = new Map([...manifest.entries()].map((entry) => [entry.key, entry]));
  const present = (key: Key): Recorded | undefined => (entries.get(key)?.state === 'present' ? entries.get(key) : undefined);

  const files = documentsOn(machine.storageDir);
  for (const [path, hash] of files) {
    const entry = present(documentKey(path));
    if (hash === BROKEN) fail('2 files', `${id} still has a broken ${path}`);
    if (entry?.hash !== hash) fail('2 files', `${id} has ${path} ${hash.slice(0, 8)}, recorded is ${entry?.hash.slice(0, 8) ?? 'nothing'}`);
  }
  for (const { key, state } of entries.values()) {
    const parsed = parseKey(key);
    if (parsed.kind === 'document' && state === 'present' && !files.has(parsed.path)) fail('2 files', `${id} lacks ${parsed.path}`);
  }

  const rows = rowsOn(reader);
  const blocked = (path: Parameters<typeof embeddingKey>[0]): boolean =>
    present(embeddingKey(path)) === undefined && manifest.quarantinedOf(embeddingKey(path)).length > 0;
  const expected = new Map<Key, string>();
  for (const entry of entries.values()) {
    const parsed = parseKey(entry.key);
    if (entry.state !== 'present') continue;
    if (parsed.kind === 'workspace') expected.set(entry.key, entry.hash);
    if (parsed.kind !== 'membership') continue;
    if (
      present(workspaceKey(parsed.slug)) === undefined ||
      [documentKey, embeddingKey].some((keyOf) => entries.get(keyOf(parsed.path))?.state === 'deleted') ||
      blocked(parsed.path)
    )
      continue;
    expected.set(entry.key, entry.hash);
  }
  for (const [key, text] of rows)
    if (expected.get(key) !== hashOf(text)) fail('2 rows', `${id} has ${key} ${text}, recorded is ${say2(entries.get(key))}`);
  for (const key of expected.keys()) if (!rows.has(key)) fail('2 rows', `${id} lacks ${key} (${say2(entries.get(key))})`);

  checkVectors(machine, entries);
  checkCaches(machine, entries);
  for (const folder of readdirIfThere(join(machine.storageDir, 'documents')))
    for (const name of readdirIfThere(join(machine.storageDir, 'documents', folder)))
      if (name.startsWith('.')) fail('7 no temporary files', `${id} has ${folder}/${name}`);
}

const say2 = (entry: Recorded | undefined): string => (entry === undefined ? 'nothing' : `${say(entry)} ${JSON.stringify(entry.content)}`);

function readdirIfThere(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function embeddingOf(machine: Machine, key: Key, hash: string): Embedding {
  const payload = machine.manifest?.payload(key);
  if (payload === undefined) fail('2 payloads', `${machine.id} has no payload of ${key}`);
  return decodeEmbedding(unpackPayload(payload.packed, { hash, bytesMax: 1 << 26 }));
}

function checkVectors(machine: Machine, entries: ReadonlyMap<Key, Recorded>): void {
  const { id, chroma, reader, leftovers, damaged } = machine;
  if (reader === undefined) return;
  const links = vectorIdsOn(reader);
  const claimed = new Map<string, string>();
  const docIds = new Set<string>();
  const loaded = new Map<Key, Embedding>();
  for (const { slug, path, docId } of membershipRowsOn(reader)) {
    docIds.add(docId);
    const spoilt = damaged.has(docId);
    const ids = links.get(docId) ?? [];
    const collection = chroma.collections.get(collectionName(slug));
    for (const vectorId of ids) claimed.set(vectorId, slug);
    const key = embeddingKey(path);
    const entry = entries.get(key);
    if (entry === undefined) continue;
    if (entry.state !== 'present') fail('2 vectors', `${id} has ${path} in ${slug}, whose embedding is deleted`);
    const embedding = loaded.get(key) ?? embeddingOf(machine, key, entry.hash);
    loaded.set(key, embedding);
    if (spoilt) continue;
    if (new Set(ids).size !== embedding.texts.length || ids.length !== embedding.texts.length)
      fail('2 vectors', `${id}: ${path} in ${slug} has ${ids.length} vector ids, its embedding ${embedding.texts.length} chunks`);
    const found = ids.map((vectorId) => {
      const row = collection?.rows.get(vectorId);
      if (row === undefined) fail('2 vectors', `${id}: ${path} in ${slug} lacks a vector in Chroma (${docId} ${vectorId})`);
      return `${row.text} ${[...row.vector].map((value) => value.toFixed(5)).join()}`;
    });
    const wanted = embedding.texts.map((text, index) => {
      const vector = embedding.vectors.subarray(index * embedding.dimensions, (index + 1) * embedding.dimensions);
      return `${text.toWellFormed()} ${[...vector].map((value) => value.toFixed(5)).join()}`;
    });
    if (found.toSorted().join('\n') !== wanted.toSorted().join('\n'))
      fail('2 vectors', `${id}: ${path} in ${slug} answers with other chunks than are recorded (${entry.hash.slice(0, 8)})`);
  }
  for (const docId of links.keys())
    if (!docIds.has(docId) && !leftovers.has(docId))
      fail('2 no ghosts', `${id} has rows of document_vectors for ${docId}, which is in no workspace`);
  for (const [name, { rows }] of chroma.collections)
    for (const vectorId of rows.keys()) {
      const slug = claimed.get(vectorId);
      if (slug !== undefined && collectionName(slug as never) === name) continue;
      if (leftovers.has(vectorId)) continue;
      fail(
        '2 no ghosts',
        `${id} has the vector ${vectorId} in ${name}, which no row knows${machine.appAdded.has(vectorId) ? ' (AnythingLLM added it)' : ''}`,
      );
    }
}

/** A cache need not be there; where it is and can be read, it is the recorded embedding, or the document was never recorded as embedded. */
function checkCaches(machine: Machine, entries: ReadonlyMap<Key, Recorded>): void {
  const directory = join(machine.storageDir, 'vector-cache');
  const caches = new Set(readdirIfThere(directory));
  for (const { key, state, hash } of entries.values()) {
    const parsed = parseKey(key);
    if (parsed.kind !== 'embedding' || state !== 'present' || !caches.has(cacheName(parsed.path))) continue;
    const bytes = readFileSync(join(directory, cacheName(parsed.path)));
    const cache = parseCache(bytes);
    if ('reason' in cache) continue;
    const recorded = embeddingOf(machine, key, hash);
    if (cache.embedding.texts.join('\n') !== recorded.texts.join('\n'))
      fail('2 caches', `${machine.id} has a stale cache of ${parsed.path}`);
  }
  for (const name of caches) if (name.startsWith('.')) fail('7 no temporary files', `${machine.id} has vector-cache/${name}`);
}

/** `watched` and its queue are this machine's own. */
function checkLocalColumns({ reader, id }: Machine): void {
  const orphans = reader
    ?.prepare(
      'select count(*) as n from document_sync_queues q left join workspace_documents d on d.id = q.workspaceDocId where d.id is null',
    )
    .get()?.['n'];
  if (orphans !== 0) fail('7 own ground only', `${id} has watch queues without a document`);
}

/** An edit that was only in the tail that the log lost, and whose author forgot it before it could miss it, is nowhere any more. */
function exemptLost(world: World): void {
  for (const edit of world.edits) {
    const forgotAt = world.machines.find(({ id }) => id === edit.replica)?.forgotAt ?? 0;
    const published = world.journal.flatMap(({ change, lost }, index) =>
      index >= edit.at && change?.key === edit.key && change.hash === edit.after ? [lost && index < forgotAt] : [],
    );
    if (published.length > 0 && published.every((isGone) => isGone)) edit.exempt = true;
  }
}

/** Invariant 1: what the log lost is put back, or something newer is known everywhere. */
function checkNothingLost(world: World): void {
  const final = world.machines[0]?.manifest;
  for (const [index, { change, lost, replica }] of world.journal.entries()) {
    if (!lost || change === undefined || world.poisoned.has(change.key)) continue;
    if (index < (world.machines.find(({ id }) => id === replica)?.forgotAt ?? 0)) continue;
    const entry = final?.entry(change.key);
    if (entry === undefined || compareStamp(entry, change) < 0)
      fail(
        '1 what the log lost is put back',
        `${describeChange(change)} of ${replica} is in no log any more; recorded is ${entry === undefined ? 'nothing' : say(entry)}`,
      );
    const isThere = world.journal.some(
      (other) => !other.lost && other.change?.key === change.key && compareStamp(other.change, change) >= 0,
    );
    if (!isThere) fail('1 what the log lost is put back', `${describeChange(change)} of ${replica} was not appended again`);
  }
}

/** Invariant 1: an edit that people did not replace themselves is in the log or under conflicts/. */
function checkEdits(world: World): void {
  const byPlace = Map.groupBy(world.edits, ({ replica, key }) => `${replica} ${key}`);
  const published = new Set(world.journal.flatMap(({ change }) => (change === undefined ? [] : [`${change.key} ${change.hash}`])));
  const final = world.machines[0]?.manifest;
  for (const edits of byPlace.values())
    for (const [index, edit] of edits.entries()) {
      if (edit.exempt) continue;
      const next = edits[index + 1];
      if (next !== undefined && next.before === edit.after) continue;
      const { key, after, replica, operation } = edit;
      const entry = final?.entry(key);
      if (after !== '') {
        if (published.has(`${key} ${after}`) || world.kept.has(`${key} ${after}`)) continue;
        fail(
          '1 no edit is lost',
          `${key} ${after.slice(0, 8)} of ${replica} (${operation}, edit ${edit.seq}) is neither in the log nor under conflicts/`,
        );
      }
      if (next !== undefined || entry === undefined || entry.state === 'deleted' || edit.reset || edit.firstContact) continue;
      if (isOvertaken(world, edit)) continue;
      fail('1 no deletion is lost', `${key} was deleted on ${replica} (${operation}, edit ${edit.seq}) and is there again: ${say(entry)}`);
    }
}

/**
 * True where somebody put the key after, or without knowing of, this deletion. What its own agent had put on disk and not yet recorded
 * was known to whoever removed it; but an agent that dies between putting something there and noting so cannot tell its removal from
 * never having put it, and puts it there (again). Nor does one know of its own publications that were made after the backup it comes from,
 * before it has read them.
 */
export function isOvertaken(world: World, { key, seen, replica, at, firstContact, landed, before }: UserEdit): boolean {
  const { forgotAt = 0, backupAt = 0 } = world.machines.find(({ id }) => id === replica) ?? {};
  const isKnown = (by: string, index: number): boolean =>
    by === replica && seen > 0 && !firstContact && !(index >= backupAt && index < forgotAt && forgotAt <= at);
  return world.journal.some(
    ({ change, replica: by }, index) =>
      change?.key === key &&
      change.state === 'present' &&
      (index >= at || (index >= seen && !(landed && change.hash === before) && !isKnown(by, index))),
  );
}

/** Invariant 1: what people replaced does not come back over what they replaced it with. */
function checkNotUndone(world: World): void {
  const final = world.machines[0]?.manifest;
  for (const [key, edits] of Map.groupBy(world.edits, (edit) => edit.key)) {
    const entry = final?.entry(key);
    const hash = entry?.state === 'present' ? entry.hash : '';
    if (hash === '') continue;
    if (world.machines.some(({ approved }) => approved.has(key))) continue;
    const made = edits.findLastIndex(({ after }) => after === hash);
    const undone = edits.slice(made + 1).find((edit) => edit.before === hash && !edit.exempt && !edit.reset);
    if (undone === undefined || made < 0) continue;
    // A deletion gives way to a put that its replica had not recorded yet: present wins.
    if (undone.after === '' && isOvertaken(world, undone)) continue;
    // Somebody who did not know of the edit said the same as what it replaced. Where the log lost that, the edit's replica may have read on
    // behind it without having met it.
    const winner = world.journal.findIndex(
      ({ change, lost }) => !lost && change?.key === key && entry !== undefined && sameVersion(change.version, entry.version),
    );
    const shown = world.machines.find(({ id }) => id === undone.replica)?.given.get(`${key} ${hash}`) ?? [];
    // What they were shown before it was made (again) was another making of the same.
    const wasShown = shown.some((count) => count > (edits[made]?.seq ?? 0) && count <= undone.seq);
    if (winner >= undone.seen && entry?.version.replica !== undone.replica && !wasShown) continue;
    // What the same people made of it later, unseen by anybody.
    let last = undone;
    for (const next of edits) if (next.seq > last.seq && next.replica === last.replica && next.before === last.after) last = next;
    if (last.exempt || (last.after === '' && isOvertaken(world, last))) continue;
    const forgot = world.machines.find(({ id }) => id === last.replica)?.forgot ?? 0;
    if ((last.firstContact || last.seq < forgot) && world.kept.has(`${key} ${last.after}`)) continue;
    fail(
      '1 no edit is undone',
      `${key} is ${hash.slice(0, 8)} again, which ${undone.replica} had replaced by ${undone.after.slice(0, 8) || 'nothing'} (${undone.operation}, edit ${undone.seq})`,
    );
  }
}

/** Invariant 8: only what was poisoned is in quarantine. */
function checkQuarantine(world: World): void {
  for (const { id, manifest } of world.machines)
    for (const { key, code, message } of manifest?.quarantined() ?? [])
      if (key !== null && !world.poisoned.has(key))
        fail('8 only the bad is in quarantine', `${id} has ${key} in quarantine: ${code} ${message}`);
}
