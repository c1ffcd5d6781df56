// Compares replicas by what they hold, not by what their agents say: files, rows, and every text, vector and id in Chroma.
import type { Inspection } from '../stand-in/index.ts';
import { strays } from '../stand-in/index.ts';

export type Compared = { readonly name: string; readonly inspection: Inspection };

/** `differences`: one sentence each, naming the replica that differs from the first; empty where all are the same. */
export type Check = { readonly what: string; readonly count: number; readonly differences: readonly Difference[] };
export type Difference = { readonly replica: string; readonly sentence: string };

/** Chroma gives vectors back with a relative error of about 1e-7, and they are of length 1. */
const TOLERANCE = 1e-6;

export function compareReplicas(replicas: readonly Compared[]): readonly Check[] {
  return [
    check(
      replicas,
      'documents, byte for byte',
      ({ documents }) => documents,
      (a, b) => a.equals(b),
    ),
    check(replicas, 'vector caches: texts and vectors', cacheRows, sameRows),
    check(replicas, 'workspaces and their settings', ({ workspaces }) => workspaces, sameJson),
    check(replicas, 'documents in workspaces: docId, pinned', memberships, sameJson),
    check(replicas, 'vectors in Chroma: texts and numbers', storedRows, sameRows, (rows) => rows.length),
    knownIds(replicas),
  ];
}

/** How many replicas are the same as the first, itself included. */
export function identicalCount(replicas: readonly Compared[], checks: readonly Check[]): number {
  const different = new Set(checks.flatMap(({ differences }) => differences.map(({ replica }) => replica)));
  // One that is wrong in itself is not a measure for others.
  if (different.has(replicas[0]?.name ?? '')) return 0;
  return replicas.length - different.size;
}

function check<T>(
  replicas: readonly Compared[],
  what: string,
  part: (inspection: Inspection) => ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
  size: (value: T) => number = () => 1,
): Check {
  const [first, ...others] = replicas.map(({ name, inspection }) => ({ name, held: part(inspection) }));
  if (first === undefined) return { what, count: 0, differences: [] };
  const differences = others.flatMap(({ name, held }) =>
    [...new Set([...first.held.keys(), ...held.keys()])].flatMap((key): Difference[] => {
      const [a, b] = [first.held.get(key), held.get(key)];
      const difference = (words: string): Difference[] => [{ replica: name, sentence: `${name} ${words} (${what})` }];
      if (b === undefined) return difference(`lacks ${key}`);
      if (a === undefined) return difference(`has ${key}, which ${first.name} has not`);
      return same(a, b) ? [] : difference(`has another ${key} than ${first.name}`);
    }),
  );
  return { what, count: [...first.held.values()].reduce((sum, value) => sum + size(value), 0), differences };
}

/** AnythingLLM can only remove vectors whose ids it knows: each replica must know exactly those that its Chroma has. */
function knownIds(replicas: readonly Compared[]): Check {
  const differences = replicas.flatMap(({ name, inspection }) => {
    const { ghosts, missing } = strays(inspection);
    return [
      ...ghosts.map((id) => ({ replica: name, sentence: `${name} has the vector ${id} in Chroma, which its database does not know` })),
      ...missing.map((id) => ({ replica: name, sentence: `${name} lacks the vector ${id} in Chroma, which its database names` })),
    ];
  });
  const ids = replicas[0]?.inspection.vectorIds ?? new Map<string, readonly string[]>();
  return { what: 'vector ids: database and Chroma agree', count: [...ids.values()].flat().length, differences };
}

type Row = { readonly text: string; readonly values: readonly number[] };

function cacheRows({ caches }: Inspection): ReadonlyMap<string, readonly Row[]> {
  return new Map(
    [...caches].map(([path, chunks]) => [
      path,
      'broken' in chunks ? [] : chunks.map(({ metadata, values }) => ({ text: String(metadata['text']), values })),
    ]),
  );
}

/** The `watched` flag is not replicated: one replica alone may fetch a source again. */
function memberships({ memberships: all }: Inspection): ReadonlyMap<string, unknown> {
  return new Map([...all].map(([key, copies]) => [key, copies.map(({ docId, pinned }) => ({ docId, pinned }))]));
}

/** By workspace and docId, which are the same on all replicas; vector ids are not, and their order says nothing. */
function storedRows({ collections, vectorIds }: Inspection): ReadonlyMap<string, readonly Row[]> {
  const docIdOf = new Map([...vectorIds].flatMap(([docId, ids]) => ids.map((id) => [id, docId] as const)));
  const rows = new Map<string, Row[]>();
  for (const [slug, stored] of collections)
    for (const { id, text, values } of stored) {
      const key = `${slug}/${docIdOf.get(id) ?? 'unknown'}`;
      rows.set(key, [...(rows.get(key) ?? []), { text: text ?? '', values }]);
    }
  for (const list of rows.values()) list.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  return rows;
}

function sameRows(a: readonly Row[], b: readonly Row[]): boolean {
  return a.length === b.length && a.every((row, i) => row.text === b[i]?.text && sameVector(row.values, b[i].values));
}

function sameVector(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - (b[i] ?? NaN)) <= TOLERANCE);
}

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
