import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeEmbedding, embeddingSections, encodeEmbedding } from './embedding-codec.ts';
import { isDocbusError } from './errors.ts';
import type { Embedding } from './embedding.ts';

/** JSON data without -0, which JSON itself does not keep. */
const metadata = fc
  .dictionary(
    fc.string({ unit: 'binary' }),
    fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.boolean(), fc.constant(null), fc.jsonValue()),
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>);

const embedding: fc.Arbitrary<Embedding> = fc
  .record({
    dimensions: fc.integer({ min: 0, max: 9 }),
    count: fc.integer({ min: 0, max: 6 }),
    pool: fc.array(metadata, { minLength: 1, maxLength: 3 }),
  })
  .chain(({ dimensions, count, pool }) =>
    fc.record(
      {
        dimensions: fc.constant(dimensions),
        texts: fc.array(fc.string({ unit: 'binary' }), { minLength: count, maxLength: count }),
        metadatas: fc.array(fc.constantFrom(...pool), { minLength: count, maxLength: count }),
        vectors: fc
          .array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: count * dimensions, maxLength: count * dimensions })
          .map((numbers) => Float32Array.from(numbers)),
      },
      { noNullPrototype: true },
    ),
  );

/** assert.deepEqual does not look at the order of keys. */
const keyOrder = (value: Embedding) => JSON.stringify(value.metadatas);
const isCorrupt = (error: unknown) => isDocbusError(error, 'payload_corrupt');

const sample: Embedding = {
  dimensions: 2,
  texts: ['\uFEFFhéllo', 'wörld'],
  metadatas: [
    { title: 'a', id: 'x' },
    { title: 'a', id: 'x' },
  ],
  vectors: Float32Array.of(0.5, -0.25, -0, 3.4e38),
};

test('an embedding survives its binary form, key order, bits and all', () => {
  fc.assert(
    fc.property(embedding, (value) => {
      const back = decodeEmbedding(encodeEmbedding(value));
      assert.deepEqual(back, value);
      assert.equal(keyOrder(back), keyOrder(value));
    }),
    { examples: [[sample]] },
  );
});

test('equal embeddings have equal bytes, whether their metadata is one object or many', () => {
  fc.assert(
    fc.property(embedding, (value) => {
      const copy = { ...value, metadatas: value.metadatas.map((one) => structuredClone(one)), vectors: value.vectors.slice() };
      assert.deepEqual(encodeEmbedding(copy), encodeEmbedding(value));
    }),
  );
});

test('embeddings that differ in one bit, one text or one key order have different bytes', () => {
  const bytes = encodeEmbedding(sample);
  const others: Embedding[] = [
    { ...sample, vectors: Float32Array.of(0.5, -0.25, 0, 3.4e38) },
    { ...sample, texts: ['\uFEFFhéllow', 'örld'] },
    {
      ...sample,
      metadatas: [
        { title: 'a', id: 'x' },
        { id: 'x', title: 'a' },
      ],
    },
  ];
  for (const other of others) assert.notDeepEqual(encodeEmbedding(other), bytes);
});

test('the metadata that chunks share is written once', () => {
  const title = 'a title that is easy to find';
  const value: Embedding = {
    dimensions: 0,
    texts: ['a', 'b', 'c'],
    metadatas: [{ title }, { title }, { title }],
    vectors: new Float32Array(),
  };
  assert.equal(Buffer.from(encodeEmbedding(value)).toString('latin1').split(title).length, 2);
});

test('a lone surrogate becomes the replacement character in texts, values and keys', () => {
  const value: Embedding = {
    dimensions: 1,
    texts: ['a\uD800b'],
    metadatas: [{ 'k\uDC00': ['v\uD8FF', { n: 1 }], plain: '\\ud800' }],
    vectors: Float32Array.of(1),
  };
  const back = decodeEmbedding(encodeEmbedding(value));
  assert.deepEqual(back.texts, ['a\uFFFDb']);
  assert.deepEqual(back.metadatas, [{ 'k\uFFFD': ['v\uFFFD', { n: 1 }], plain: '\\ud800' }]);
  assert.deepEqual(encodeEmbedding(back), encodeEmbedding(value));
});

test('NaN, infinity and counts that do not fit are refused before they are sent', () => {
  for (const bad of [NaN, Infinity, -Infinity])
    assert.throws(
      () => encodeEmbedding({ ...sample, vectors: Float32Array.of(0, 0, 0, bad) }),
      (error) => isDocbusError(error, 'vectors_refused'),
    );
  for (const bad of [{ dimensions: 3 }, { dimensions: 1.5 }, { texts: ['a'] }, { metadatas: [{}] }])
    assert.throws(
      () => encodeEmbedding({ ...sample, ...bad }),
      (error) => isDocbusError(error, 'vectors_refused'),
    );
});

test('every truncation and every longer form is corrupt', () => {
  const bytes = encodeEmbedding(sample);
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => decodeEmbedding(bytes.subarray(0, length)), isCorrupt, `cut at ${length}`);
  assert.throws(() => decodeEmbedding(Buffer.concat([bytes, Buffer.of(0)])), isCorrupt);
});

test('bytes of any kind either decode to what encodes again, or are corrupt', () => {
  const bytes = encodeEmbedding(sample);
  const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), flips), (input) => {
      const forged = input instanceof Uint8Array ? input : bytes.slice();
      if (!(input instanceof Uint8Array)) for (const [at, value] of input) forged[at] = value;
      try {
        encodeEmbedding(decodeEmbedding(forged));
      } catch (error) {
        assert.ok(isCorrupt(error), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test('a forged header is corrupt: lengths past the end, indexes of no metadata, NaN in the planes', () => {
  const forge = (header: unknown, rest = 0) => {
    const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(json.length);
    return Buffer.concat([Buffer.from('DBE\u0001'), length, json, Buffer.alloc(rest, 0xff)]);
  };
  const good = { dimensions: 1, texts: [0], metadatas: [{}], chunks: [0] };
  for (const bad of [
    { ...good, texts: [-1] },
    { ...good, texts: [2 ** 53] },
    { ...good, texts: ['0'] },
    { ...good, chunks: [1] },
    { ...good, chunks: [-1] },
    { ...good, chunks: [] },
    { ...good, metadatas: [[]] },
    { ...good, metadatas: [null] },
    { ...good, dimensions: 1e9 },
    { ...good, dimensions: null },
    [],
    'nonsense',
    good, // four bytes of 0xff: an exponent of all ones
  ])
    assert.throws(() => decodeEmbedding(forge(bad, 4)), isCorrupt, JSON.stringify(bad));
});

test('the sections are where the vectors begin and where their exponents end', () => {
  const bytes = encodeEmbedding(sample);
  assert.deepEqual(embeddingSections(bytes), [bytes.length - 16, bytes.length - 12]);
  assert.deepEqual([...bytes.subarray(bytes.length - 16, bytes.length - 12)], [126, 125, 0, 254]);
  assert.equal(embeddingSections(Buffer.from('{"a":1}')), undefined);
});
