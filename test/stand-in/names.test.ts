import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheName, collectionName, localTime, sanitizeFileName, slugWithoutExtension, workspaceSlug } from './names.ts';

test('a cache is named by the version-5 UUID of the docpath', () => {
  const docpath = 'custom-documents/hello.txt-11111111-1111-4111-8111-111111111111.json';
  assert.equal(cacheName(docpath), 'f676fede-bbf2-5ba9-b8e8-3f542b31b958.json'); // computed by the original's library
});

test('slugs of workspaces speak some characters and drop others', () => {
  const cases = [
    ['foo.bar', 'foo-dot-bar'],
    ['Ünïcode Ärger', 'unicode-arger'],
    ['a/b\\c', 'abc'],
    ['C++', 'c-plus-plus'],
    ["it's (new): ~x~ | y", 'its-new-x-y'],
    ['日本語', ''],
  ];
  assert.deepEqual(
    cases.map(([name]) => workspaceSlug(name ?? '')),
    cases.map(([, slug]) => slug),
  );
});

test('collection names are mended as far as the original mends them, and no further', () => {
  const cases = [
    ['my-workspace', 'my-workspace'],
    ['a', 'anythingllm-a'],
    ['_ab', 'anythingllm-ab'],
    ['ab_', 'anythingllm-ab'],
    ['x---', 'x--'],
    ['a b.c', 'a-b-c'],
    ['w'.repeat(70), 'w'.repeat(63)],
    [`${'w'.repeat(62)}-tail`, 'w'.repeat(62)],
  ];
  assert.deepEqual(
    cases.map(([slug]) => collectionName(slug ?? '')),
    cases.map(([, name]) => name),
  );
});

test('titles lose one extension, and file names what Windows refuses', () => {
  assert.equal(slugWithoutExtension('My Report.v2.final.pdf'), 'my-report-v2-final');
  assert.equal(slugWithoutExtension('No Extension'), 'no-extension');
  assert.equal(sanitizeFileName('a<b>:"c|d?*\u201Ce\u2019'), 'abcde');
});

test('dates are written as people in California like them', () => {
  assert.equal(localTime(1_786_892_645_000), '8/16/2026, 3:04:05 PM');
});
