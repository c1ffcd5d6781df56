// The laws of convergence (invariants 2 and 5), shown over small domains, so that equal revisions, replicas and hashes meet often.
import fc from 'fast-check';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digestOf, emptyDigest, updateDigest } from './digest.ts';
import type { Key } from './key.ts';
import { merge } from './merge.ts';
import { compareStamp, type Stamp } from './version.ts';

const versions = fc.record(
  { revision: fc.integer({ min: 1, max: 4 }), replica: fc.constantFrom('a', 'b', 'B', 'ä') },
  { noNullPrototype: true },
);
const stamps: fc.Arbitrary<Stamp> = fc
  .record(
    { version: versions, state: fc.constantFrom('present' as const, 'deleted' as const), hash: fc.constantFrom('h1', 'h2', 'h3') },
    { noNullPrototype: true },
  )
  .map((stamp) => (stamp.state === 'deleted' ? { ...stamp, hash: '' } : stamp));
const keys = fc.constantFrom('document/a/1.json', 'document/a/2.json', 'workspace/a', '"],["') as unknown as fc.Arbitrary<Key>;

const sign = (order: number): number => Math.sign(order) + 0;
const mergeAll = (changes: readonly Stamp[], known?: Stamp): Stamp | undefined =>
  changes.reduce<Stamp | undefined>((winner, change) => (merge(winner, change) === 'take' ? change : winner), known);

/** The same changes in another order, some of them several times. */
const reordered = fc.array(stamps, { minLength: 1, maxLength: 8 }).chain((changes) =>
  fc.tuple(
    fc.constant(changes),
    fc
      .tuple(fc.shuffledSubarray(changes, { minLength: changes.length }), fc.array(fc.constantFrom(...changes)))
      .chain(([all, more]) => fc.shuffledSubarray([...all, ...more], { minLength: all.length + more.length })),
  ),
);

test('the order of stamps is total: antisymmetric, transitive, and 0 only for equal ones', () => {
  fc.assert(
    fc.property(stamps, stamps, stamps, (a, b, c) => {
      assert.equal(sign(compareStamp(a, b)), sign(-compareStamp(b, a)));
      assert.equal(
        compareStamp(a, b) === 0,
        JSON.stringify([a.version.revision, a.version.replica, a.state, a.hash]) ===
          JSON.stringify([b.version.revision, b.version.replica, b.state, b.hash]),
      );
      if (compareStamp(a, b) <= 0 && compareStamp(b, c) <= 0) assert.ok(compareStamp(a, c) <= 0);
    }),
    { numRuns: 3000 },
  );
});

test('merge is commutative', () => {
  fc.assert(fc.property(stamps, stamps, (a, b) => assert.deepEqual(mergeAll([a, b]), mergeAll([b, a]))));
});

test('merge is associative', () => {
  fc.assert(
    fc.property(stamps, stamps, stamps, (a, b, c) => {
      const first = mergeAll([a, b]);
      const last = mergeAll([b, c]);
      assert.ok(first !== undefined && last !== undefined);
      assert.deepEqual(mergeAll([first, c]), mergeAll([a, last]));
    }),
    { numRuns: 1000 },
  );
});

test('merge is idempotent: what is known changes nothing', () => {
  fc.assert(
    fc.property(stamps, (stamp) => {
      assert.equal(merge(stamp, stamp), 'same');
      assert.equal(merge(stamp, structuredClone(stamp)), 'same');
    }),
  );
});

test('any order and any duplication of the same changes has the same winner', () => {
  fc.assert(
    fc.property(reordered, ([changes, again]) => {
      assert.deepEqual(mergeAll(again), mergeAll(changes));
    }),
    { numRuns: 1000 },
  );
});

test('the winner is one of the changes, and none of them beats it', () => {
  fc.assert(
    fc.property(fc.array(stamps, { minLength: 1 }), (changes) => {
      const winner = mergeAll(changes);
      assert.ok(winner !== undefined && changes.includes(winner));
      for (const change of changes) assert.notEqual(merge(winner, change), 'take');
    }),
  );
});

type Manifest = Map<Key, Stamp>;
const entriesOf = (manifest: Manifest) => [...manifest].map(([key, stamp]) => ({ ...stamp, key }));

/** Merges changes one by one as an agent does, keeping the digest up to date; undefined removes an entry. */
function run(steps: readonly (readonly [Key, Stamp | undefined])[]) {
  const manifest: Manifest = new Map();
  let digest = emptyDigest;
  for (const [key, stamp] of steps) {
    const before = manifest.get(key);
    digest = updateDigest(digest, key, before, stamp);
    if (stamp === undefined) manifest.delete(key);
    else manifest.set(key, stamp);
  }
  return { manifest, digest };
}

test('a digest kept up to date equals one made from nothing, in any order of entries', () => {
  const steps = fc.array(fc.tuple(keys, fc.option(stamps, { nil: undefined })));
  fc.assert(
    fc.property(steps, fc.nat(), (changes, seed) => {
      const { manifest, digest } = run(changes);
      const entries = entriesOf(manifest);
      assert.equal(digestOf(entries), digest);
      assert.equal(digestOf(entries.toSorted((a, b) => ((a.key.length * seed) % 7) - ((b.key.length * seed) % 7))), digest);
      assert.equal(digestOf(entries.toReversed()), digest);
    }),
    { numRuns: 1000 },
  );
});

test('two manifests have equal digests exactly when they are equal', () => {
  const manifests = fc.dictionary(keys, stamps).map((object) => new Map(Object.entries(object)) as Manifest);
  const canonical = (manifest: Manifest) =>
    JSON.stringify(
      entriesOf(manifest)
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        .map(({ key, version, state, hash }) => [key, version.revision, version.replica, state, hash]),
    );
  fc.assert(
    fc.property(manifests, manifests, (a, b) => {
      assert.equal(digestOf(entriesOf(a)) === digestOf(entriesOf(b)), canonical(a) === canonical(b));
    }),
    { numRuns: 2000 },
  );
});

test('replicas that merge the same changes in different orders end with the same digest', () => {
  const change = fc.tuple(keys, stamps);
  fc.assert(
    fc.property(
      fc
        .array(change, { maxLength: 12 })
        .chain((changes) => fc.tuple(fc.constant(changes), fc.shuffledSubarray(changes, { minLength: changes.length }))),
      ([changes, shuffled]) => {
        const [one, other] = [changes, shuffled].map((order) => {
          const winners: Manifest = new Map();
          let digest = emptyDigest;
          for (const [key, stamp] of order) {
            const known = winners.get(key);
            if (merge(known, stamp) !== 'take') continue;
            digest = updateDigest(digest, key, known, stamp);
            winners.set(key, stamp);
          }
          return digest;
        });
        assert.equal(one, other);
      },
    ),
    { numRuns: 1000 },
  );
});
