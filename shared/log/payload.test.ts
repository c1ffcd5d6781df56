import { test } from 'node:test';
import assert from 'node:assert/strict';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { encodeEmbedding, isDocbusError, sha256 } from '@docbus/core';
import { packPayload, unpackPayload } from './payload.ts';

const bytesMax = 1 << 20;
const isCorrupt = (error: unknown) => isDocbusError(error, 'payload_corrupt');
const embedding = encodeEmbedding({
  dimensions: 8,
  texts: ['one', 'two'],
  metadatas: [{ title: 't' }, { title: 't' }],
  vectors: Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)),
});

test('what is packed unpacks to the same bytes, documents and embeddings alike', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), (raw) => {
      assert.deepEqual(Buffer.from(unpackPayload(packPayload(raw), { hash: sha256(raw), bytesMax })), Buffer.from(raw));
    }),
  );
  assert.deepEqual(Buffer.from(unpackPayload(packPayload(embedding), { hash: sha256(embedding), bytesMax })), Buffer.from(embedding));
});

test('an empty embedding packs too', () => {
  const raw = encodeEmbedding({ dimensions: 384, texts: [], metadatas: [], vectors: new Float32Array() });
  assert.deepEqual(Buffer.from(unpackPayload(packPayload(raw), { hash: sha256(raw), bytesMax })), Buffer.from(raw));
});

test('another hash is corrupt', () => {
  const raw = Buffer.from('{"a":1}');
  assert.throws(() => unpackPayload(packPayload(raw), { hash: sha256('other'), bytesMax }), isCorrupt);
});

test('a payload that unpacks to more than the bound is refused before it fills the memory', () => {
  const bomb = zstdCompressSync(Buffer.alloc(64 << 20));
  assert.ok(bomb.length < 10_000);
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(() => unpackPayload(bomb, { hash: sha256('whatever'), bytesMax }), isCorrupt);
  assert.ok(process.memoryUsage().arrayBuffers - before < 32 << 20);
});

test('the bound holds for all frames together', () => {
  const hash = sha256(embedding);
  assert.ok(unpackPayload(packPayload(embedding), { hash, bytesMax: embedding.length }));
  assert.throws(() => unpackPayload(packPayload(embedding), { hash, bytesMax: embedding.length - 1 }), isCorrupt);
});

test('a cut or a changed byte anywhere is corrupt', () => {
  const hash = sha256(embedding);
  const packed = packPayload(embedding);
  for (let at = 0; at < packed.length; at++) {
    assert.throws(() => unpackPayload(packed.subarray(0, at), { hash, bytesMax }), isCorrupt, `cut at ${at}`);
    const changed = Uint8Array.from(packed);
    changed[at] = (changed[at] ?? 0) ^ 0x5a;
    // A change of bits that carry nothing may leave the same payload; it must never leave another one.
    try {
      assert.deepEqual(Buffer.from(unpackPayload(changed, { hash, bytesMax })), Buffer.from(embedding));
    } catch (error) {
      assert.ok(isCorrupt(error), `changed at ${at}: ${String(error)}`);
    }
  }
});
