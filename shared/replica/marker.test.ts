import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkMarker, readMarker, writeMarker } from './marker.ts';

const place = { storageDir: '/storage', replicaId: 'one' };
const marker = { replica: 'one', storage: 's1' };

test('a storage and a manifest that are both new are fresh', () => {
  assert.equal(checkMarker(undefined, undefined, place), 'fresh');
});

test('the storage that the manifest knows is the right one, and a new manifest adopts a marked storage', () => {
  assert.deepEqual(checkMarker(marker, 's1', place), marker);
  assert.deepEqual(checkMarker(marker, undefined, place), marker);
});

test('a storage without its marker, or with another, has been replaced', () => {
  assert.throws(() => checkMarker(undefined, 's1', place), { code: 'storage_replaced', message: /\/storage has no \.docbus/ });
  assert.throws(() => checkMarker({ ...marker, storage: 's2' }, 's1', place), { code: 'storage_replaced', message: /s2.*s1/ });
});

test('a storage of another replica is refused, naming both', () => {
  for (const known of [undefined, 's1'])
    assert.throws(() => checkMarker({ ...marker, replica: 'two' }, known, place), { code: 'storage_foreign', message: /two.*one/ });
});

test('a marker reads back as it was written, and leaves no temporary file', (t) => {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-marker-'));
  t.after(() => rmSync(storageDir, { recursive: true }));
  assert.equal(readMarker(storageDir), undefined);
  writeMarker(storageDir, marker);
  assert.deepEqual(readMarker(storageDir), marker);
  assert.deepEqual(readdirSync(storageDir), ['.docbus']);
  for (const text of ['', '{"replica":"one"', '{"replica":1}', 'null']) {
    writeFileSync(join(storageDir, '.docbus'), text);
    assert.throws(() => readMarker(storageDir), { code: 'storage_replaced', message: /not a marker/ });
  }
});
