import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseDocPath, sha256, type DocPath } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import { openDocuments } from './documents.ts';
import { compareUtf8, sortUtf8 } from './order.ts';

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const at = (path: string): DocPath => parseDocPath(path);

function open(t: TestContext, documentBytesMax = 1_000_000, now: () => number = systemClock.now) {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-documents-'));
  t.after(() => rmSync(storageDir, { recursive: true, force: true }));
  const documents = openDocuments({ storageDir, clock: { ...systemClock, now }, documentBytesMax });
  return { storageDir, root: join(storageDir, 'documents'), documents };
}

test('a written document reads back byte for byte, with its hash', (t) => {
  const { documents, root } = open(t);
  const bytes = text({ title: 'Ä', pageContent: 'x'.repeat(100_000) });
  documents.write(at('folder/a.json'), bytes);
  const reading = documents.read(at('folder/a.json'));
  assert.equal(reading.type, 'read');
  if (reading.type !== 'read') return;
  assert.deepEqual(new Uint8Array(reading.value), bytes);
  assert.equal(reading.hash, sha256(bytes));
  assert.equal(reading.signature, documents.signature(at('folder/a.json')));
  assert.deepEqual(readdirSync(join(root, 'folder')), ['a.json']);
  assert.equal(statSync(join(root, 'folder/a.json')).mode & 0o777, 0o644);
});

test('a replaced document has another signature', (t) => {
  const { documents } = open(t);
  documents.write(at('f/a.json'), text({ a: 1 }));
  const first = documents.signature(at('f/a.json'));
  documents.write(at('f/a.json'), text({ a: 2 }));
  assert.notEqual(documents.signature(at('f/a.json')), first);
});

test('a document read shortly after it was written is racy, and one written long ago is not', (t) => {
  const { documents, root } = open(t);
  documents.write(at('f/a.json'), text({}));
  const young = documents.read(at('f/a.json'));
  assert.equal(young.type === 'read' && young.racy, true);
  const longAgo = Date.now() / 1000 - 10;
  utimesSync(join(root, 'f/a.json'), longAgo, longAgo);
  const old = documents.read(at('f/a.json'));
  assert.equal(old.type === 'read' && old.racy, false);
});

test('half-written, empty and non-object files are unsettled: neither there nor gone', (t) => {
  const { documents, root } = open(t);
  mkdirSync(join(root, 'f'), { recursive: true });
  const whole = JSON.stringify({ title: 'a', pageContent: 'ü'.repeat(50) });
  for (const content of ['', whole.slice(0, 60), '[1]', 'null', '"a"', `\uFEFF${whole}`]) {
    writeFileSync(join(root, 'f/a.json'), content);
    assert.equal(documents.read(at('f/a.json')).type, 'unsettled', JSON.stringify(content));
  }
  writeFileSync(join(root, 'f/a.json'), whole);
  assert.equal(documents.read(at('f/a.json')).type, 'read');
});

test('a document over the limit is refused before it is read', (t) => {
  const { documents, root } = open(t, 10);
  mkdirSync(join(root, 'f'), { recursive: true });
  writeFileSync(join(root, 'f/a.json'), JSON.stringify({ a: 'more than ten' }));
  assert.throws(() => documents.read(at('f/a.json')), { code: 'document_too_large', message: /more than the 10/ });
});

test('an absent file, folder or documents directory is absent, but an absent storage is an error', (t) => {
  const { documents, root, storageDir } = open(t);
  assert.equal(documents.exists(), false);
  assert.equal(documents.read(at('f/a.json')).type, 'absent');
  mkdirSync(join(root, 'f'), { recursive: true });
  assert.equal(documents.exists(), true);
  assert.equal(documents.signature(at('f/a.json')), undefined);
  assert.equal(documents.read(at('f/a.json')).type, 'absent');
  rmSync(storageDir, { recursive: true });
  for (const look of [
    () => documents.exists(),
    () => documents.folders(),
    () => documents.list('f'),
    () => documents.signature(at('f/a.json')),
    () => documents.read(at('f/a.json')),
    () => documents.write(at('f/a.json'), text({})),
    () => documents.remove(at('f/a.json')),
  ])
    assert.throws(look, { code: 'storage_missing' });
});

test('a folder that is a file, and a path below it, is absent to a reader and refused to a writer', (t) => {
  const { documents, root } = open(t);
  mkdirSync(root);
  writeFileSync(join(root, 'f'), '');
  assert.deepEqual(documents.folders(), []);
  assert.equal(documents.signature(at('f/a.json')), undefined);
  assert.throws(() => documents.write(at('f/a.json'), text({})), { code: 'path_refused' });
});

test('symbolic links are not followed: neither for a file nor for a folder', (t) => {
  const { documents, root, storageDir } = open(t);
  const outside = join(storageDir, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'a.json'), '{}');
  mkdirSync(join(root, 'f'), { recursive: true });
  symlinkSync(join(outside, 'a.json'), join(root, 'f/a.json'));
  symlinkSync(outside, join(root, 'linked'));

  for (const path of [at('f/a.json'), at('linked/a.json')]) {
    assert.throws(() => documents.read(path), { code: 'path_refused', message: /symbolic link/ });
    assert.throws(() => documents.write(path, text({ a: 1 })), { code: 'path_refused', message: /symbolic link/ });
    assert.throws(() => documents.remove(path), { code: 'path_refused', message: /symbolic link/ });
    assert.notEqual(documents.signature(path), undefined, 'a link in the place of a document must not look like a deletion');
  }
  assert.equal(readFileSync(join(outside, 'a.json'), 'utf8'), '{}');
  assert.deepEqual(documents.list('f').paths, []);
  assert.deepEqual(documents.list('f').problems, [{ name: 'f/a.json', reason: 'is a symbolic link' }]);
  assert.deepEqual(documents.list('linked'), { paths: [], problems: [{ name: 'linked', reason: 'is a symbolic link' }] });
});

test('names that cannot be replicated are problems, hidden and temporary ones are left out', (t) => {
  const { documents, root } = open(t);
  const folder = join(root, 'f');
  mkdirSync(join(folder, 'deeper.json'), { recursive: true });
  for (const name of ['a.json', 'tab\t.json', 'back\\slash.json', 'note.txt', '.hidden.json', '.docbus-00.tmp'])
    writeFileSync(join(folder, name), '{}');
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0x62, 0xff, 0xfe]), Buffer.from('.json')]), '{}');
  const longest = `${'n'.repeat(250)}.json`;
  writeFileSync(join(folder, longest), '{}');
  const { paths, problems } = documents.list('f');
  assert.deepEqual(paths, ['f/a.json', `f/${longest}`]);
  assert.deepEqual(
    problems.map((problem) => problem.name).toSorted(),
    ['f/back\\slash.json', 'f/b\uFFFD\uFFFD.json', 'f/deeper.json', 'f/note.txt', 'f/tab\t.json'].toSorted(),
  );
});

test('a folder whose name cannot be replicated is one problem', (t) => {
  const { documents, root } = open(t);
  mkdirSync(join(root, 'bad\\name'), { recursive: true });
  mkdirSync(join(root, '.hidden'));
  assert.deepEqual(documents.folders(), ['bad\\name']);
  const { paths, problems } = documents.list('bad\\name');
  assert.deepEqual(paths, []);
  assert.deepEqual(
    problems.map((problem) => problem.name),
    ['bad\\name'],
  );
});

test('names that leave the directory never become a docpath', () => {
  for (const name of [
    '../a.json',
    'f/../a.json',
    '/f/a.json',
    'f/a.json\0',
    'f/..',
    '../../etc/passwd.json',
    `f/${'n'.repeat(300)}.json`,
    'f/a\uD800.json',
  ])
    assert.throws(() => parseDocPath(name), { code: 'path_refused' }, JSON.stringify(name));
});

test('two Unicode forms of one name are two documents', (t) => {
  const { documents } = open(t);
  const composed = at('f/\u00E9.json');
  const decomposed = at('f/e\u0301.json');
  documents.write(composed, text({ form: 'composed' }));
  documents.write(decomposed, text({ form: 'decomposed' }));
  assert.deepEqual(documents.list('f').paths, [decomposed, composed]);
  const reading = documents.read(composed);
  assert.equal(reading.type === 'read' && Buffer.from(reading.value).toString(), '{"form":"composed"}');
});

test('folder by folder and file by file, documents come in the order of their paths in UTF-8', (t) => {
  const { documents } = open(t);
  const paths = ['a/z.json', 'a-b/a.json', 'a/\u{1F600}.json', 'a/\uFF5E.json', 'aa/1.json', 'a/B.json'].map(at);
  for (const path of paths) documents.write(path, text({}));
  const seen = documents.folders().flatMap((folder) => documents.list(folder).paths);
  assert.deepEqual(seen, ['a-b/a.json', 'a/B.json', 'a/z.json', 'a/\uFF5E.json', 'a/\u{1F600}.json', 'aa/1.json']);
  assert.deepEqual(
    seen,
    paths.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  );
});

test('compareUtf8 agrees with the order of the bytes', () => {
  const names = ['', 'a', 'ab', 'b', '\u00E9', '\uD7FF', '\uE000', '\uFFFF', '\u{10000}', '\u{10FFFF}', 'a\u{10000}', 'a\uFFFF'];
  const byBytes = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(names.toSorted(compareUtf8), byBytes);
  assert.deepEqual(sortUtf8(names.toReversed()), byBytes);
});

test('removing the last document removes its folder, except custom-documents; repeating it is fine', (t) => {
  const { documents, root } = open(t);
  for (const path of ['f/a.json', 'f/b.json', 'custom-documents/a.json']) documents.write(at(path), text({}));
  documents.remove(at('f/a.json'));
  assert.deepEqual(documents.folders(), ['custom-documents', 'f']);
  documents.remove(at('f/b.json'));
  documents.remove(at('f/b.json'));
  documents.remove(at('custom-documents/a.json'));
  assert.deepEqual(readdirSync(root), ['custom-documents']);
});

test('a write that fails leaves the old content and no temporary file', (t) => {
  const { documents, root } = open(t);
  documents.write(at('f/a.json'), text({ a: 1 }));
  mkdirSync(join(root, 'f/b.json'));
  assert.throws(() => documents.write(at('f/b.json'), text({})), { code: 'path_refused' });
  assert.deepEqual(readdirSync(join(root, 'f')).toSorted(), ['a.json', 'b.json']);
});

test(
  'a full disk is disk_full, names the file and leaves no temporary file',
  { skip: statSync('/dev/full', { throwIfNoEntry: false }) === undefined },
  async (t) => {
    const { replaceFile } = await import('./files.ts');
    const { root } = open(t);
    mkdirSync(root);
    const { openSync, writeSync, closeSync } = await import('node:fs');
    const full = openSync('/dev/full', 'w');
    t.after(() => closeSync(full));
    assert.throws(() => replaceFile(join(root, 'a.json'), { durable: false, clock: systemClock }, () => void writeSync(full, 'x')), {
      code: 'disk_full',
      message: /a\.json/,
    });
    assert.deepEqual(readdirSync(root), []);
  },
);

test('what a kill left behind is removed at the next opening', (t) => {
  const { storageDir, root } = open(t);
  mkdirSync(join(root, 'f'), { recursive: true });
  writeFileSync(join(root, 'f/.docbus-0011.tmp'), 'half');
  openDocuments({ storageDir, clock: systemClock, documentBytesMax: 1 });
  assert.deepEqual(readdirSync(join(root, 'f')), []);
});

test('a folder that may not be read is an error, not an empty folder', { skip: process.geteuid?.() === 0 }, (t) => {
  const { documents, root } = open(t);
  documents.write(at('f/a.json'), text({}));
  chmodSync(join(root, 'f'), 0o000);
  try {
    assert.throws(() => documents.list('f'), { code: 'disk_failed', message: /same user as AnythingLLM/ });
    assert.throws(() => documents.signature(at('f/a.json')), { code: 'disk_failed' });
    assert.throws(() => documents.read(at('f/a.json')), { code: 'disk_failed' });
  } finally {
    chmodSync(join(root, 'f'), 0o755);
  }
});

test('while a writer truncates and rewrites in place, a reader sees whole documents or nothing settled', async (t) => {
  const { documents, root } = open(t, 50_000_000);
  mkdirSync(join(root, 'f'), { recursive: true });
  const file = join(root, 'f/a.json');
  writeFileSync(file, JSON.stringify({ n: 0, fill: '' }));
  const { Worker } = await import('node:worker_threads');
  const code = `const { writeFileSync } = require('node:fs'); const { parentPort } = require('node:worker_threads');
    for (let n = 0; n < 300; n++) writeFileSync(${JSON.stringify(file)}, JSON.stringify({ n, fill: 'y'.repeat((n % 7) * 100_000), last: n }, null, 4)); parentPort.postMessage('done');`;
  const worker = new Worker(code, { eval: true });
  let done = false;
  worker.once('message', () => (done = true));
  let read = 0;
  while (!done) {
    const reading = documents.read(at('f/a.json'));
    if (reading.type === 'read') {
      read++;
      const value = JSON.parse(Buffer.from(reading.value).toString()) as { n: number; fill: string; last?: number };
      if (value.last !== undefined) assert.ok(value.n === value.last && value.fill.length === (value.n % 7) * 100_000);
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(documents.read(at('f/a.json')).type, 'read');
  assert.ok(read > 0);
});

test('a hard link or a rename in the place of a document is another signature', (t) => {
  const { documents, root } = open(t);
  documents.write(at('f/a.json'), text({ a: 1 }));
  const before = documents.signature(at('f/a.json'));
  documents.write(at('f/b.json'), text({ a: 2 }));
  linkSync(join(root, 'f/b.json'), join(root, 'f/c.json'));
  renameSync(join(root, 'f/c.json'), join(root, 'f/a.json'));
  assert.notEqual(documents.signature(at('f/a.json')), before);
});
