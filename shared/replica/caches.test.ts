import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeEmbedding, parseDocPath, sha256, type Embedding } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import { openCaches } from './caches.ts';

const path = parseDocPath('custom-documents/hello.txt-11111111-1111-4111-8111-111111111111.json');

function open(t: TestContext) {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-caches-'));
  t.after(() => rmSync(storageDir, { recursive: true, force: true }));
  const caches = openCaches({ storageDir, clock: systemClock });
  return { storageDir, caches, root: join(storageDir, 'vector-cache'), file: join(storageDir, 'vector-cache', caches.name(path)) };
}

function embeddingOf(chunks: number, dimensions = 8): Embedding {
  const metadata = { id: 'a', url: 'file://a', title: 'Ä "quoted" \u2028', wordCount: 3, description: null, nested: { b: [1], a: 2 } };
  return {
    dimensions,
    texts: Array.from({ length: chunks }, (_, index) => `<document_metadata>\n${index} \u{1F600} "\\`),
    metadatas: Array.from({ length: chunks }, () => metadata),
    vectors: Float32Array.from({ length: chunks * dimensions }, (_, index) => Math.sin(index) / 30),
  };
}

const idsOf = (count: number): string[] => Array.from({ length: count }, (_, index) => `id-${index}`);

test('the name is the uuid v5 of the docpath', (t) => {
  assert.equal(open(t).caches.name(path), 'f676fede-bbf2-5ba9-b8e8-3f542b31b958.json');
});

test('a written cache reads back with the same hash, also at several batches', (t) => {
  const { caches } = open(t);
  for (const chunks of [1, 499, 500, 501, 1200]) {
    const embedding = embeddingOf(chunks);
    caches.write(path, embedding, idsOf(chunks));
    const reading = caches.read(path);
    assert.equal(reading.type, 'read');
    if (reading.type !== 'read') return;
    assert.equal(reading.hash, sha256(encodeEmbedding(embedding)));
    assert.deepEqual(reading.value, embedding);
    assert.equal(new Set(reading.value.metadatas).size, 1, 'equal metadata is one object');
  }
});

test('a written cache has exactly the shape that AnythingLLM reads', (t) => {
  const { caches, file } = open(t);
  const embedding = embeddingOf(501, 4);
  caches.write(path, embedding, idsOf(501));
  const batches = JSON.parse(readFileSync(file, 'utf8')) as { id: string; values: number[]; metadata: Record<string, unknown> }[][];
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [500, 1],
  );
  const last = batches[1]?.[0];
  assert.equal(last?.id, 'id-500');
  assert.deepEqual(Object.keys(last?.metadata ?? {}), ['id', 'url', 'title', 'wordCount', 'description', 'nested', 'text']);
  assert.equal(last?.metadata['text'], embedding.texts[500]);
  assert.deepEqual(Float32Array.from(last?.values ?? []), embedding.vectors.subarray(2000));
});

test('a cache as AnythingLLM writes it hashes like the one docbus makes of it', (t) => {
  const { caches, file, root } = open(t);
  mkdirSync(root);
  const values = [0.1234567890123456, -0.9876543210987654, 1e-9, 0];
  const items = ['a', 'b'].map((text, index) => ({ id: `v${index}`, values, metadata: { id: 'file', title: 'T', text } }));
  writeFileSync(file, JSON.stringify([items]));
  const original = caches.read(path);
  assert.equal(original.type, 'read');
  if (original.type !== 'read') return;
  caches.write(path, original.value, ['x', 'y']);
  const written = caches.read(path);
  assert.equal(written.type === 'read' && written.hash, original.hash);
});

test('texts and metadata of every kind survive', (t) => {
  const { caches } = open(t);
  const embedding: Embedding = {
    dimensions: 1,
    texts: ['', 'x'.repeat(3_000_000), 'ü'.repeat(1000), 'nul \0'],
    metadatas: [{}, { a: 1 }, { z: true, a: [] }, {}],
    vectors: Float32Array.of(0, -0, 1e-30, 3.4e38),
  };
  caches.write(path, embedding, idsOf(4));
  const reading = caches.read(path);
  assert.deepEqual(reading.type === 'read' && reading.value, embedding);
  assert.equal(reading.type === 'read' && reading.hash, sha256(encodeEmbedding(embedding)));
});

test('truncated and foreign caches are unsettled, with a reason', (t) => {
  const { caches, file, root } = open(t);
  mkdirSync(root);
  const item = (values: unknown, text: unknown = 'a'): unknown => ({ id: 'v', values, metadata: { text } });
  const cases: [unknown, RegExp][] = [
    [{}, /list of batches/],
    [[], /no vectors/],
    [[[]], /no vectors/],
    [[item([1, 2])], /list of batches/],
    [[[{ id: 'v', vector: [1], payload: {} }]], /Chroma provider/],
    [[[item([1, 2]), item([1])]], /1 dimensions/],
    [[[item([1, null])]], /no number/],
    [[[item([1, 1e39])]], /no number/],
    [[[item([1], 7)]], /Chroma provider/],
    [[[item([])]], /Chroma provider/],
    [[[item([1]), null]], /item 1/],
  ];
  for (const [value, expected] of cases) {
    writeFileSync(file, JSON.stringify(value));
    const reading = caches.read(path);
    assert.equal(reading.type, 'unsettled', JSON.stringify(value));
    assert.match(reading.type === 'unsettled' ? reading.reason : '', expected);
  }
  writeFileSync(file, JSON.stringify([[item([1, 2])]]));
  truncateSync(file, 20);
  assert.equal(caches.read(path).type, 'unsettled');
  truncateSync(file, 0);
  assert.equal(caches.read(path).type, 'unsettled');
});

test('the directory may vanish and come back at any time', (t) => {
  const { caches, root } = open(t);
  assert.equal(caches.read(path).type, 'absent');
  assert.equal(caches.signature(path), undefined);
  caches.remove(path);
  caches.write(path, embeddingOf(1), ['a']);
  rmSync(root, { recursive: true });
  assert.equal(caches.read(path).type, 'absent');
  caches.write(path, embeddingOf(1), ['a']);
  assert.deepEqual(readdirSync(root), [caches.name(path)]);
  caches.remove(path);
  assert.deepEqual(readdirSync(root), []);
});

test('a missing storage is an error, not an absent cache', (t) => {
  const { caches, storageDir } = open(t);
  rmSync(storageDir, { recursive: true });
  for (const look of [
    () => caches.read(path),
    () => caches.signature(path),
    () => caches.remove(path),
    () => caches.write(path, embeddingOf(1), ['a']),
  ])
    assert.throws(look, { code: 'storage_missing' });
});

test('a symbolic link in the place of a cache is not followed', (t) => {
  const { caches, root, file, storageDir } = open(t);
  mkdirSync(root);
  const outside = join(storageDir, 'outside.json');
  writeFileSync(outside, 'untouched');
  symlinkSync(outside, file);
  assert.throws(() => caches.read(path), { code: 'path_refused' });
  assert.throws(() => caches.write(path, embeddingOf(1), ['a']), { code: 'path_refused' });
  assert.throws(() => caches.remove(path), { code: 'path_refused' });
  assert.equal(readFileSync(outside, 'utf8'), 'untouched');
});
