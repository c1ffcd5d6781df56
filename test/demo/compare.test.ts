import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkspaceContent } from '@docbus/core';
import type { Inspection } from '../stand-in/index.ts';
import { compareReplicas, identicalCount, type Compared } from './compare.ts';

const settings = { name: 'Handbook', topN: 4 } as WorkspaceContent;

/** One document in one workspace; its only vector has an id of this replica's own. */
function replica(name: string, change: Partial<Inspection> = {}): Compared {
  const id = `vector of ${name}`;
  const inspection: Inspection = {
    documents: new Map([['a/b.json', Buffer.from('{}')]]),
    caches: new Map([['a/b.json', [{ id: 'x', values: [1, 0], metadata: { text: 'one' } }]]]),
    workspaces: new Map([['handbook', settings]]),
    memberships: new Map([['handbook/a/b.json', [{ docId: 'd', pinned: false, watched: false }]]]),
    vectorIds: new Map([['d', [id]]]),
    collections: new Map([['handbook', [{ id, text: 'one', metadata: {}, values: [1, 0] }]]]),
    ...change,
  };
  return { name, inspection };
}

const stored = (name: string, text: string, values: readonly number[]): Partial<Inspection> => ({
  collections: new Map([['handbook', [{ id: `vector of ${name}`, text, metadata: {}, values }]]]),
});
const identical = (...replicas: Compared[]): number => identicalCount(replicas, compareReplicas(replicas));

test('replicas that differ in vector ids, rounding and watched flags only are identical', () => {
  const rounded = stored('b', 'one', [1 - 1e-7, 0]);
  const watched = { memberships: new Map([['handbook/a/b.json', [{ docId: 'd', pinned: false, watched: true }]]]) };
  assert.equal(identical(replica('a'), replica('b', rounded), replica('c', watched)), 3);
});

const differences: Readonly<Record<string, Partial<Inspection>>> = {
  'a document less': { documents: new Map() },
  'other bytes in a document': { documents: new Map([['a/b.json', Buffer.from('{ }')]]) },
  'a cache that cannot be read': { caches: new Map([['a/b.json', { broken: 'half' }]]) },
  'another setting': { workspaces: new Map([['handbook', { ...settings, topN: 5 }]]) },
  'a workspace more': {
    workspaces: new Map([
      ['handbook', settings],
      ['more', settings],
    ]),
  },
  'another docId': { memberships: new Map([['handbook/a/b.json', [{ docId: 'e', pinned: false, watched: false }]]]) },
  'a pin': { memberships: new Map([['handbook/a/b.json', [{ docId: 'd', pinned: true, watched: false }]]]) },
  'another text in Chroma': stored('c', 'two', [1, 0]),
  'another vector in Chroma': stored('c', 'one', [0, 1]),
  'no vector in Chroma': { collections: new Map() },
  'a vector that the database does not know': { vectorIds: new Map() },
};

for (const [what, change] of Object.entries(differences))
  test(`${what} is a difference, and names its replica`, () => {
    const replicas = [replica('a'), replica('b'), replica('c', change)];
    const found = compareReplicas(replicas).flatMap((check) => check.differences);
    assert.deepEqual([...new Set(found.map((difference) => difference.replica))], ['c']);
    assert.equal(identical(...replicas), 2);
  });

test('a first replica that is wrong in itself is no measure for the others', () => {
  const ghost = stored('nobody', 'one', [1, 0]);
  assert.equal(identical(replica('a', ghost), replica('b', ghost)), 0);
});

test('what was compared is counted', () => {
  const counts = compareReplicas([replica('a'), replica('b')]).map(({ count }) => count);
  assert.deepEqual(counts, [1, 1, 1, 1, 1, 1]);
});
