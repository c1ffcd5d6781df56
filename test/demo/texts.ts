// The demo's texts, and a question whose answer is in them.
import { DocbusError } from '@docbus/core';
import { readdirSync, readFileSync, statSync, type Dirent } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';

/** `name`: the path below the directory, with forward slashes. */
export type Text = { readonly name: string; readonly text: string };

export type Library = {
  readonly texts: readonly Text[];
  /** for people: where they come from, and what was left out */
  readonly about: string;
  readonly question: string;
};

/** Every edit of the demo is of another document. */
const TEXTS_MIN = 4;
const TEXTS_MAX = 300;
/** About 2,000 chunks: more would make the demo longer, not clearer. */
const CHARACTERS_MAX = 2_000_000;
const FILE_BYTES_MAX = 1_000_000;

const root = resolve(import.meta.dirname, '..', '..');

/** docbus' own pages, and as much of its sources as makes a few hundred chunks. */
export function ownTexts(): Library {
  // The first two will be edited away: better these than the pages that say something.
  const pages = ['CHANGELOG.md', 'LICENSE', ...readdirSync(root).filter((name) => /^[A-Z]+\.md$/.test(name) && name !== 'CHANGELOG.md')];
  const sources = ['shared/core', 'shared/replica', 'services/agent']
    .flatMap((place) => filesBelow(join(root, place)))
    .filter((file) => /(?<!\.test)\.ts$/.test(file));
  const files = [...pages.map((name) => join(root, name)), ...sources];
  const texts = files.flatMap((file) => readText(root, file) ?? []);
  return { texts, about: `docbus' own pages and part of its sources`, question: 'Are users and chats replicated?' };
}

/** The texts of a directory and everything below it. Throws `config_invalid` where there are too few. */
export function textsOf(directory: string): Library {
  const place = resolve(directory);
  const problem = (words: string): DocbusError => new DocbusError('config_invalid', `--documents ${directory}: ${words}`);
  if (statSync(place, { throwIfNoEntry: false })?.isDirectory() !== true) throw problem('there is no such directory.');
  const files = filesBelow(place);
  const texts: Text[] = [];
  let characters = 0;
  let other = 0;
  let left = 0;
  for (const file of files) {
    // Once it is enough, nothing more is read: the directory may be anything.
    const text = left > 0 ? undefined : readText(place, file);
    if (left > 0) left++;
    else if (text === undefined) other++;
    else if (texts.length === TEXTS_MAX || characters + text.text.length > CHARACTERS_MAX) left++;
    else {
      texts.push(text);
      characters += text.text.length;
    }
  }
  if (texts.length < TEXTS_MIN)
    throw problem(
      `it holds ${texts.length} text files of the ${TEXTS_MIN} that the demo needs. Text is UTF-8, such as .md and .txt, up to 1 MB a file; the demo does not read PDF or Office files.`,
    );
  const notes = [other > 0 ? `${other} that are no text or too large` : '', left > 0 ? `${left} more, to stay short` : ''].filter(
    (note) => note !== '',
  );
  const about = `files of ${basename(place)}${notes.length === 0 ? '' : ` (without ${notes.join(' and ')})`}`;
  return { texts, about, question: questionOf(texts) };
}

function filesBelow(directory: string): string[] {
  const listed: Dirent[] = readdirSync(directory, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return listed.flatMap((entry) => {
    if (entry.name.startsWith('.') || entry.name === 'node_modules') return [];
    const path = join(directory, entry.name);
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : [];
  });
}

/** undefined for what is no text, too large or empty. */
function readText(directory: string, file: string): Text | undefined {
  if (statSync(file).size > FILE_BYTES_MAX) return undefined;
  const text = readFileSync(file, 'utf8');
  if (text.trim() === '' || /[\0\uFFFD]/.test(text)) return undefined;
  return { name: relative(directory, file).replaceAll('\\', '/'), text };
}

const WORDS = /\p{L}[\p{L}\p{N}-]{3,}/gu;

/** Asks for the rarest words of one sentence: the sentence, somewhere in the middle of the texts, whose words the fewest documents share. */
export function questionOf(texts: readonly Text[]): string {
  const wordsOf = (text: string): string[] => [...text.matchAll(WORDS)].map(([word]) => word);
  const documents = new Map<string, number>();
  for (const { text } of texts)
    for (const word of new Set(wordsOf(text.toLowerCase()))) documents.set(word, (documents.get(word) ?? 0) + 1);
  const rarity = (word: string): number => 1 / (documents.get(word.toLowerCase()) ?? 1);

  const middle = texts[Math.floor(texts.length / 2)] as Text;
  const sentences = middle.text.split(/(?<=[.!?])\s+|\n{2,}/).filter((sentence) => wordsOf(sentence).length >= 4);
  // A word that half of the documents have asks for nothing.
  const asks = (word: string): boolean => rarity(word) > 2 / texts.length;
  const rarest = (sentence: string): string[] =>
    [...new Set(wordsOf(sentence))]
      .filter(asks)
      .toSorted((a, b) => rarity(b) - rarity(a))
      .slice(0, 4);
  const weight = (sentence: string): number => rarest(sentence).reduce((sum, word) => sum + rarity(word), 0);
  const chosen = sentences.toSorted((a, b) => weight(b) - weight(a))[0] ?? middle.text.slice(0, 200);
  const words = rarest(chosen);
  // in the order of the sentence, so that the question has a little of its sense
  const ordered = wordsOf(chosen).filter((word, at, all) => words.includes(word) && all.indexOf(word) === at);
  return ordered.length === 0 ? middle.name : `What about ${ordered.join(', ')}?`;
}

/** What a passage says about a question: from the sentence on that shares the most words with it. */
export function excerptOf(passage: string, question: string): string {
  const wordsOf = (text: string): string[] => [...text.toLowerCase().matchAll(WORDS)].map(([word]) => word);
  const asked = new Set(wordsOf(question));
  const sentences = passage.split(/(?<=[.!?])\s+|\n+/);
  const shared = sentences.map((sentence) => new Set(wordsOf(sentence)).intersection(asked).size);
  return sentences.slice(shared.indexOf(Math.max(...shared))).join(' ');
}
