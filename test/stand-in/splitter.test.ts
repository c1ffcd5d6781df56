import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunkHeader, splitDocument } from './splitter.ts';

// The expected chunks come from the original's library (@langchain/textsplitters 0.0.0).
const CASES = [
  {
    text: 'Otters sleep.\n\nThey hold hands, so that nobody drifts away.\nA raft of otters rests in the kelp.\n\n\nEnd.',
    chunkSize: 30,
    chunkOverlap: 8,
    chunks: [
      'Otters sleep.',
      'They hold hands, so that',
      'so that nobody drifts away.',
      'A raft of otters rests in the',
      'in the kelp.',
      'End.',
    ],
  },
  {
    text: 'averyveryverylongwordwithoutanyspace and short ones after it',
    chunkSize: 12,
    chunkOverlap: 4,
    chunks: ['averyveryver', 'yverylongwor', 'gwordwithout', 'houtanyspace', 'and short', 'ones after', 'it'],
  },
  {
    text: 'a b c d e f g h i j k l m n o p',
    chunkSize: 7,
    chunkOverlap: 3,
    chunks: ['a b c d', 'd e f', 'f g h', 'h i j', 'j k l', 'l m n', 'n o p'],
  },
  { text: '   \n\n  \n ', chunkSize: 10, chunkOverlap: 2, chunks: [] },
  {
    text: 'exactly ten\nand then some more words',
    chunkSize: 10,
    chunkOverlap: 0,
    chunks: ['exactly', 'ten', 'and then', 'some more', 'words'],
  },
];

test('texts are cut where the original cuts them', () => {
  for (const { text, chunkSize, chunkOverlap, chunks } of CASES)
    assert.deepEqual(splitDocument(text, { chunkSize, chunkOverlap, header: '' }), chunks);
});

test('every chunk carries the header, which does not count', () => {
  const chunks = splitDocument('one two three four', { chunkSize: 8, chunkOverlap: 0, header: 'H\n' });
  assert.deepEqual(chunks, ['H\none two', 'H\nthree', 'H\nfour']);
});

test('an emoji can be cut in half', () => {
  const chunks = splitDocument('😀'.repeat(3), { chunkSize: 3, chunkOverlap: 0, header: '' });
  assert.equal(
    chunks.some((chunk) => !chunk.isWellFormed()),
    true,
  );
  assert.equal(chunks.join(''), '😀'.repeat(3));
});

test('an overlap as large as the size is refused', () => {
  assert.throws(() => splitDocument('text', { chunkSize: 20, chunkOverlap: 20, header: '' }), /chunkOverlap/);
});

test('the header names title, date and web address, as far as there are any', () => {
  const full = { title: 'A', published: 'today', chunkSource: 'link://https://example.org/a' };
  assert.equal(
    chunkHeader(full),
    '<document_metadata>\nsourceDocument: A\npublished: today\nsource: https://example.org/a\n</document_metadata>\n\n',
  );
  assert.equal(chunkHeader({ title: 'A', chunkSource: 'a.txt' }), '<document_metadata>\nsourceDocument: A\n</document_metadata>\n\n');
  assert.equal(chunkHeader({ chunkSource: '' }), '');
});
