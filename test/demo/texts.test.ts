import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isDocbusError } from '@docbus/core';
import { excerptOf, ownTexts, questionOf, textsOf } from './texts.ts';

function directoryOf(t: TestContext, files: Readonly<Record<string, string | Buffer>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-texts-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(directory, name, '..'), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  return directory;
}

const four = { 'a.md': 'one', 'b.md': 'two', 'c.txt': 'three', 'below/d.md': 'four' };

test("docbus' own pages are enough for a few hundred chunks", () => {
  const { texts } = ownTexts();
  assert.ok(texts.some(({ name }) => name === 'ARCHITECTURE.md'));
  const characters = texts.reduce((sum, { text }) => sum + text.length, 0);
  assert.ok(characters > 300_000 && characters < 2_000_000, `${characters} characters`);
});

test('a directory gives its texts, and leaves out what is no text, hidden or empty', (t) => {
  const directory = directoryOf(t, { ...four, 'e.pdf': Buffer.from([0x25, 0x50, 0, 0xff]), '.hidden': 'no', 'empty.md': ' \n' });
  const { texts, about } = textsOf(directory);
  assert.deepEqual(
    texts.map(({ name }) => name),
    ['a.md', 'b.md', 'below/d.md', 'c.txt'],
  );
  assert.match(about, /without 2 that are no text/);
});

test('a directory that is missing, or has too few texts, is refused with what to do', (t) => {
  const few = directoryOf(t, { 'a.md': 'one' });
  for (const [directory, words] of [
    [few, /1 text files of the 4/],
    [join(few, 'none'), /no such directory/],
    [join(few, 'a.md'), /no such directory/],
  ] as const)
    assert.throws(
      () => textsOf(directory),
      (error: Error) => isDocbusError(error, 'config_invalid') && words.test(error.message),
    );
});

test('the question has the rare words of one sentence', () => {
  const common = 'The common words are here again and again.';
  const texts = [1, 2, 3].map((n) => ({
    name: `${n}`,
    text: n === 2 ? `${common} A platypus juggles lanterns underwater. ${common}` : common,
  }));
  assert.equal(questionOf(texts), 'What about platypus, juggles, lanterns, underwater?');
});

test('words that most documents share are no part of the question', () => {
  const texts = ['oats', 'barley', 'wheat', 'rye'].map((grain) => ({
    name: grain,
    text: `The mill grinds ${grain} every single morning.`,
  }));
  assert.equal(questionOf(texts), 'What about wheat?');
});

test('texts without sentences have a question too', () => {
  assert.notEqual(questionOf([{ name: 'x', text: '1 2 3' }]), '');
});

test('an excerpt begins with the sentence that speaks of the question', () => {
  const passage = 'Something else.\nUsers are not replicated.\nAnd so on.';
  assert.equal(excerptOf(passage, 'Are users replicated?'), 'Users are not replicated. And so on.');
  assert.equal(excerptOf(passage, 'What about hens?'), passage.replaceAll('\n', ' '));
});
