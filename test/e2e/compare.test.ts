// The comparison that the end-to-end tests stand on: it must see every difference that matters, and none that may be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Inspection } from '../stand-in/index.ts';
import { differences } from './compare.ts';

type Chunk = { readonly id: string; readonly text: string; readonly values: readonly number[]; readonly metadata: Record<string, unknown> };

const chunk = (id: string, text = 'text', values = [0.6, 0.8], metadata: Record<string, unknown> = { title: 'T' }): Chunk => ({
  id,
  text,
  values,
  metadata,
});

function picture(change: Partial<{ -readonly [Place in keyof Inspection]: Inspection[Place] }> = {}): Inspection {
  return {
    documents: new Map([['folder/a.json', Buffer.from('{}')]]),
    caches: new Map(),
    workspaces: new Map([['island', { name: 'Island' } as never]]),
    memberships: new Map([['island/folder/a.json', [{ docId: 'd1', pinned: false, watched: false }]]]),
    vectorIds: new Map([['d1', ['v1']]]),
    collections: new Map([['island', [chunk('v1')]]]),
    ...change,
  };
}

const between = (one: Inspection, two: Inspection): readonly string[] =>
  differences([
    { name: 'one', inspection: one },
    { name: 'two', inspection: two },
  ]);

test('equal replicas have no differences, whatever their vector ids, watched flags and shapes of metadata', () => {
  const other = picture({
    memberships: new Map([['island/folder/a.json', [{ docId: 'd1', pinned: false, watched: true }]]]),
    vectorIds: new Map([['d1', ['w9']]]),
    collections: new Map([['island', [chunk('w9', 'text', [0.6, 0.8 + 1e-7], { title: 'T', text: 'text', id: 'x', description: null })]]]),
  });
  assert.deepEqual(between(picture(), other), []);
});

const cases: Record<string, [Partial<Inspection>, RegExp]> = {
  'a document with other bytes': [{ documents: new Map([['folder/a.json', Buffer.from('{ }')]]) }, /document .* differs/],
  'a document that is missing': [{ documents: new Map() }, /is on one, not on two/],
  'a document too many': [
    {
      documents: new Map([
        ['folder/a.json', Buffer.from('{}')],
        ['folder/b.json', Buffer.from('{}')],
      ]),
    },
    /is on two, not on one/,
  ],
  'another setting': [{ workspaces: new Map([['island', { name: 'Isle' } as never]]) }, /workspace island differs/],
  'a pin': [{ memberships: new Map([['island/folder/a.json', [{ docId: 'd1', pinned: true, watched: false }]]]) }, /membership .* differs/],
  'another vector': [{ collections: new Map([['island', [chunk('v1', 'text', [0.8, 0.6])]]]) }, /the vector of .* differs/],
  'another text': [{ collections: new Map([['island', [chunk('v1', 'other')]]]) }, /chunks of .* differs/],
  'other metadata': [{ collections: new Map([['island', [chunk('v1', 'text', [0.6, 0.8], { title: 'U' })]]]) }, /chunks of .* differs/],
  'a ghost': [{ collections: new Map([['island', [chunk('v1'), chunk('v2')]]]) }, /two: 1 vectors .* no document/],
  'a vector that is missing': [{ collections: new Map([['island', []]]) }, /two: 1 vectors .* missing/],
  'a collection without a workspace': [
    {
      collections: new Map([
        ['island', [chunk('v1')]],
        ['gone', []],
      ]),
    },
    /collection gone has no workspace/,
  ],
  'rows of document_vectors without a document': [
    {
      vectorIds: new Map([
        ['d1', ['v1']],
        ['d2', ['v2']],
      ]),
    },
    /names d2/,
  ],
};

for (const [what, [change, expected]] of Object.entries(cases))
  test(`the comparison sees ${what}`, () => {
    const found = between(picture(), picture(change));
    assert.ok(
      found.some((difference) => expected.test(difference)),
      found.join('\n') || 'nothing was seen',
    );
  });
