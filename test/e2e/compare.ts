// Are replicas the same knowledge base? Compares what AnythingLLM would see of them, and says in words what differs.
// Left out is what may differ: integer ids, dates, vector ids, the watched flag, and the two shapes of metadata AnythingLLM itself writes.
import { createHash } from 'node:crypto';
import { canonicalJson } from '@docbus/core';
import type { Inspection } from '../stand-in/index.ts';

export type Pictured = { readonly name: string; readonly inspection: Inspection };

/** One sentence per difference; [] where the replicas are identical and none has a ghost. */
export function differences(replicas: readonly Pictured[]): readonly string[] {
  const found = replicas.flatMap((replica) => strayVectors(replica));
  const [first, ...others] = replicas;
  if (first === undefined) return found;
  const reference = pictureOf(first.inspection);
  for (const other of others) {
    const picture = pictureOf(other.inspection);
    for (const [fact, value] of reference.facts) {
      const theirs = picture.facts.get(fact);
      if (theirs === undefined) found.push(`${fact} is on ${first.name}, not on ${other.name}`);
      else if (theirs !== value) found.push(`${fact} differs: ${first.name} has ${shorten(value)}, ${other.name} has ${shorten(theirs)}`);
    }
    for (const fact of picture.facts.keys())
      if (!reference.facts.has(fact)) found.push(`${fact} is on ${other.name}, not on ${first.name}`);
    for (const [chunk, values] of reference.vectors) {
      const theirs = picture.vectors.get(chunk);
      if (theirs !== undefined && !closeTo(values, theirs))
        found.push(`the vector of ${chunk} differs between ${first.name} and ${other.name}`);
    }
  }
  return found;
}

type Picture = { readonly facts: ReadonlyMap<string, string>; readonly vectors: ReadonlyMap<string, readonly number[]> };

function pictureOf({ documents, workspaces, memberships, vectorIds, collections }: Inspection): Picture {
  const facts = new Map<string, string>();
  const vectors = new Map<string, readonly number[]>();
  for (const [path, bytes] of documents) facts.set(`the document ${path}`, createHash('sha256').update(bytes).digest('hex'));
  for (const [slug, settings] of workspaces) facts.set(`the workspace ${slug}`, canonicalJson(settings));
  for (const [key, copies] of memberships) {
    facts.set(`the membership ${key}`, copies.map(({ docId, pinned }) => `${docId}${pinned ? ' pinned' : ''}`).join(', '));
    const slug = key.slice(0, key.indexOf('/'));
    const stored = new Map((collections.get(slug) ?? []).map((vector) => [vector.id, vector]));
    for (const { docId } of copies) {
      const chunks = (vectorIds.get(docId) ?? []).flatMap((id) => stored.get(id) ?? []);
      const described = chunks
        .map(({ text, metadata, values }) => ({ content: `${text ?? 'no text'}\n${describeMetadata(metadata)}`, values }))
        .toSorted((a, b) => (a.content < b.content ? -1 : 1));
      facts.set(`the chunks of ${docId} in ${key}`, `${chunks.length}: ${described.map(({ content }) => content).join('\n')}`);
      described.forEach(({ values }, index) => vectors.set(`chunk ${index} of ${docId} in ${key}`, values));
    }
  }
  return { facts, vectors };
}

/** AnythingLLM's first embedding carries `id` and no `text`, its later ones the reverse; Chroma keeps no nulls. */
function describeMetadata(metadata: Readonly<Record<string, unknown>> | null): string {
  const entries = Object.entries(metadata ?? {}).filter(([name, value]) => name !== 'id' && name !== 'text' && value !== null);
  return canonicalJson(Object.fromEntries(entries));
}

/** In each workspace Chroma must hold exactly the ids that the rows of its documents name: no ghosts, none missing. */
function strayVectors({ name, inspection: { workspaces, memberships, vectorIds, collections } }: Pictured): string[] {
  const found: string[] = [];
  const owned = new Set<string>();
  const wanted = new Map<string, Set<string>>();
  for (const [key, copies] of memberships)
    for (const { docId } of copies) {
      owned.add(docId);
      const slug = key.slice(0, key.indexOf('/'));
      const ids = wanted.get(slug) ?? new Set();
      wanted.set(slug, ids);
      for (const id of vectorIds.get(docId) ?? []) ids.add(id);
    }
  for (const slug of new Set([...wanted.keys(), ...collections.keys()])) {
    const there = new Set((collections.get(slug) ?? []).map(({ id }) => id));
    const named = wanted.get(slug) ?? new Set<string>();
    const ghosts = there.difference(named);
    const missing = named.difference(there);
    if (ghosts.size > 0) found.push(`${name}: ${ghosts.size} vectors of ${slug} belong to no document (ghosts)`);
    if (missing.size > 0) found.push(`${name}: ${missing.size} vectors of ${slug} are missing in Chroma`);
    if (!workspaces.has(slug) && collections.has(slug)) found.push(`${name}: the collection ${slug} has no workspace`);
  }
  for (const docId of vectorIds.keys())
    if (!owned.has(docId)) found.push(`${name}: document_vectors names ${docId}, which no workspace holds`);
  return found;
}

/** Chroma gives a vector back with a relative error of about 1.4e-7. */
const TOLERANCE = 1e-6;

function closeTo(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - (b[i] ?? Number.NaN)) <= TOLERANCE);
}

function shorten(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
