import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { documentKey, type DocPath } from '@docbus/core';
import { openDocuments } from '@docbus/replica/documents.ts';
import { openManifest } from '@docbus/replica/manifest.ts';
import { systemClock as clock } from '@docbus/runtime';
import { createState, type Context } from './context.ts';
import { examineDocument } from './examine.ts';
import { markDirty, surveyFiles } from './survey.ts';

const path = 'f/a.json' as DocPath;
const LONG_AGO = new Date('2026-01-01');

/** A storage with one document, and how often it was read. */
function place(t: TestContext) {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-examine-'));
  const manifest = openManifest({ directory: join(storageDir, 'state'), clock });
  t.after(() => {
    manifest[Symbol.dispose]();
    rmSync(storageDir, { recursive: true });
  });
  mkdirSync(join(storageDir, 'documents', 'f'), { recursive: true });
  const documents = openDocuments({ storageDir, clock, documentBytesMax: 40 });
  let reads = 0;
  const counted = { ...documents, read: (at: DocPath) => (reads++, documents.read(at)) };
  const context = { replica: { documents: counted }, manifest, state: createState(clock) } as unknown as Context;
  return {
    context,
    reads: () => reads,
    look: () => examineDocument(context, path),
    write(text: string, at = LONG_AGO) {
      writeFileSync(join(storageDir, 'documents', path), text);
      utimesSync(join(storageDir, 'documents', path), at, at);
    },
  };
}

test('a file that does not parse is read once, shown, and read again when it is another one', (t) => {
  const { context, reads, look, write } = place(t);
  write('{"half":');
  for (let looks = 0; looks < 5; looks++) assert.equal(look().picture, 'unsettled');
  assert.equal(reads(), 1);
  assert.deepEqual([...context.state.problems.document], [[path, 'is not replicated: it is not complete JSON']]);
  write('{"whole":1}');
  const { edit, value } = look();
  assert.deepEqual([edit, Buffer.from(value ?? []).toString()], ['put', '{"whole":1}']);
  assert.deepEqual([...context.state.problems.document], []);
});

test('a file that was written just now is read again: another write may leave the same time', (t) => {
  const { reads, look, write } = place(t);
  write('{"half":', new Date());
  look();
  look();
  assert.equal(reads(), 2);
});

test('a sweep reads again what did not parse', (t) => {
  const { context, reads, look, write } = place(t);
  write('{"half":');
  look();
  markDirty(context, { all: true });
  surveyFiles(context);
  look();
  assert.equal(reads(), 2);
});

test('a file that is too large is looked at once, and no problem any more when it is gone or small', (t) => {
  const { context, reads, look, write } = place(t);
  write(`{"long":"${'x'.repeat(40)}"}`);
  look();
  assert.equal(look().picture, 'unsettled');
  assert.equal(reads(), 1);
  assert.match(context.state.problems.document.get(path) ?? '', /more than the 40/);
  write('{}');
  assert.equal(look().edit, 'put');
  assert.equal(context.state.problems.document.size, 0);
  assert.equal(context.manifest.entry(documentKey(path)), undefined);
});
