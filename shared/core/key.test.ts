import fc from 'fast-check';
import assert from 'node:assert/strict';
import { join, sep } from 'node:path';
import { test } from 'node:test';
import { isDocbusError, type ErrorCode } from './errors.ts';
import { documentKey, embeddingKey, kindOf, kinds, membershipKey, parseDocPath, parseKey, parseSlug, workspaceKey } from './key.ts';

const refusing = (code: ErrorCode) => (error: unknown) => isDocbusError(error, code);

test('docpaths as AnythingLLM makes them are taken as they are', () => {
  for (const text of [
    'custom-documents/hello.txt-11111111-1111-4111-8111-111111111111.json',
    'owner-repo-main-1a2b/readme.md-x.json',
    'x-youtube-transcripts/Video title, with (signs) & more.json',
    'sheet-4f2a/sheet-Größe 漢字 🙂.json',
    'a/b.html.json',
    'a/b..json',
    '-a/-b.json',
  ])
    assert.equal(parseDocPath(text), text);
});

const refused: readonly [string, string][] = [
  ['an empty path', ''],
  ['a bare name', 'a.json'],
  ['an absolute path', '/etc/a.json'],
  ['an absolute path of three parts', '/etc/x/a.json'],
  ['a path of three parts', 'a/b/c.json'],
  ['a path that goes on after a file', 'a/b.json/c.json'],
  ['an ending without its dot', 'a/bjson'],
  ['a parent as folder', '../a.json'],
  ['a parent as file', 'a/..'],
  ['a way out and back', 'a/../b.json'],
  ['the current directory', './a.json'],
  ['an empty folder', '/a.json'],
  ['an empty file name', 'a/'],
  ['a double slash', 'a//b.json'],
  ['a backslash', 'a\\b/c.json'],
  ['a way out for Windows', 'a/..\\..\\b.json'],
  ['a NUL', 'a/b\0.json'],
  ['a NUL before the ending', 'a/b.txt\0.json'],
  ['a line break', 'a/b\n.json'],
  ['an escape sequence', 'a/\u001B[31m.json'],
  ['a delete character', 'a/\u007F.json'],
  ['a hidden folder', '.a/b.json'],
  ['a hidden file', 'a/.b.json'],
  ['a file that is only an ending', 'a/.json'],
  ['our own temporary file', 'a/.docbus-1234.tmp'],
  ['another ending', 'a/b.txt'],
  ['an ending in capitals', 'a/b.JSON'],
  ['a high surrogate alone', 'a/\uD800.json'],
  ['a low surrogate alone', 'a\uDC00/b.json'],
  ['a name that was no UTF-8', 'a/b\uFFFD.json'],
];
for (const [name, text] of refused) test(`${name} is no docpath`, () => assert.throws(() => parseDocPath(text), refusing('path_refused')));

test('a part may have 255 bytes and not one more, in whatever script', () => {
  const ending = '.json';
  for (const letter of ['x', 'ü', '漢', '🙂']) {
    const size = Buffer.byteLength(letter);
    const fits = letter.repeat(Math.floor((255 - ending.length) / size)).padEnd(0);
    const full = fits + 'x'.repeat(255 - ending.length - Buffer.byteLength(fits)) + ending;
    assert.equal(Buffer.byteLength(full), 255);
    assert.equal(parseDocPath(`a/${full}`), `a/${full}`);
    assert.throws(() => parseDocPath(`a/x${full}`), refusing('path_refused'));
  }
  assert.equal(parseDocPath(`${'f'.repeat(255)}/a.json`).length, 262);
  assert.throws(() => parseDocPath(`${'f'.repeat(256)}/a.json`), refusing('path_refused'));
});

test('Unicode normal forms of one name are two documents, as they are two files', () => {
  const [nfc, nfd] = ['a/é.json', 'a/é.json'.normalize('NFD')];
  assert.notEqual(parseDocPath(nfc), parseDocPath(nfd));
  assert.notEqual(documentKey(parseDocPath(nfc)), documentKey(parseDocPath(nfd)));
});

test('whatever parses stays one level below documents/', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom('.', '/', '\\', 'a', '\0', '.json', '..'), { maxLength: 8 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      let path: string;
      try {
        path = parseDocPath(candidate);
      } catch (error) {
        assert.ok(isDocbusError(error, 'path_refused'));
        return;
      }
      const parts = join('/documents', path).split(sep);
      assert.deepEqual(parts, ['', 'documents', ...path.split('/')]);
    }),
    { numRuns: 5000 },
  );
});

test('the message shows the name in one line, however long and strange', () => {
  assert.throws(
    () => parseDocPath(`a/${'\n'.repeat(1000)}`),
    (error: Error) => !error.message.includes('\n') && error.message.length < 300,
  );
});

test('slugs are one part of a key', () => {
  for (const text of ['a', 'my-workspace', 'arbeitsbereich-ä', '...', 'x'.repeat(255)]) assert.equal(parseSlug(text), text);
  for (const text of ['', '.', '..', 'a/b', 'a\\b', 'a\0', 'a\n', '\uD800', 'x'.repeat(256)])
    assert.throws(() => parseSlug(text), refusing('path_refused'), JSON.stringify(text));
});

test('a key is taken apart into what it was made of', () => {
  const path = parseDocPath('a/b.json');
  const slug = parseSlug('s');
  const made = {
    document: documentKey(path),
    embedding: embeddingKey(path),
    workspace: workspaceKey(slug),
    membership: membershipKey(slug, path),
  };
  assert.deepEqual(parseKey(made.document), { key: 'document/a/b.json', kind: 'document', path });
  assert.deepEqual(parseKey(made.embedding), { key: 'embedding/a/b.json', kind: 'embedding', path });
  assert.deepEqual(parseKey(made.workspace), { key: 'workspace/s', kind: 'workspace', slug });
  assert.deepEqual(parseKey(made.membership), { key: 'membership/s/a/b.json', kind: 'membership', slug, path });
  for (const kind of kinds) assert.equal(kindOf(made[kind]), kind);
});

test('a key of an unknown form is malformed', () => {
  for (const text of ['', 'document', 'user/a', 'Document/a/b.json', '/document/a/b.json', 'part/document/a/b.json/x/0'])
    assert.throws(() => parseKey(text), refusing('record_malformed'), JSON.stringify(text));
});

test('a key whose path would leave its directory is refused', () => {
  for (const text of [
    'document/../a.json',
    'embedding//a.json',
    'membership/s/../a.json',
    'membership/../a/b.json',
    'membership/a/b.json',
    'membership/s',
    'workspace/',
    'workspace/..',
    'workspace/a/b',
  ])
    assert.throws(() => parseKey(text), refusing('path_refused'), text);
});
