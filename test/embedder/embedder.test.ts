import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { splitDocument } from '../stand-in/splitter.ts';
import { createEmbedder, embedText } from './index.ts';

const PASSAGES: readonly (readonly [question: string, passage: string])[] = [
  ['Why do otters hold hands while sleeping?', 'Sea otters hold hands in their sleep, so that the current does not separate them.'],
  ['What is the boiling point of water on Mount Everest?', 'On the summit of Everest the low pressure lets water boil at 71 degrees.'],
  ['Who painted the ceiling of the Sistine Chapel?', 'Michelangelo spent four years painting the Sistine ceiling for Pope Julius.'],
  ['How long does a Jupiter year take?', 'Jupiter needs almost twelve of our years for one orbit around the sun.'],
  [
    'How do I reset my password?',
    'Open the settings, choose "Security" and press "Reset password"; a mail with a link arrives within a minute.',
  ],
  ['Which vitamin prevents scurvy?', 'Scurvy vanished from ships once sailors were given lemons, for it is a lack of vitamin C.'],
  ['What do honeybees dance for?', 'With a waggle dance a bee tells her sisters in which direction the flowers are.'],
  ['When did the Berlin Wall fall?', 'On 9 November 1989 the Berlin Wall was opened, and people climbed on top of it.'],
  [
    'Wann ist die Kündigungsfrist für den Mietvertrag?',
    'Der Mietvertrag kann mit einer Frist von drei Monaten schriftlich gekündigt werden.',
  ],
  ['How many records fit into one batch?', 'A batch holds at most five hundred records; larger ones are split before they are sent.'],
];

function similarity(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}

/** Some hundreds of passages of real prose that have nothing to do with the questions: the comments and code of this repository. */
function otherPassages(): string[] {
  const root = resolve(import.meta.dirname, '..', '..');
  const files = globSync('shared/core/*.ts', { cwd: root }).toSorted();
  const texts = files.map((file) => readFileSync(resolve(root, file), 'utf8'));
  return texts.flatMap((text) => splitDocument(text, { chunkSize: 400, chunkOverlap: 20, header: '' })).slice(0, 400);
}

test('vectors are of unit length, in any number of dimensions, also for texts without words', () => {
  for (const dimensions of [1, 2, 8, 384, 1536])
    for (const text of ['', '   ', '!?', 'the', 'one two three', '日本語のテキスト', '😀'.repeat(9)]) {
      const vector = embedText(text, dimensions);
      assert.equal(vector.length, dimensions);
      assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6, `${JSON.stringify(text)} in ${dimensions}`);
    }
});

test('the same text has the same vector on every machine', () => {
  const vector = embedText('Otters hold hands.', 8);
  assert.deepEqual(
    Array.from(vector, (value) => value.toFixed(6)),
    ['0.481283', '-0.253307', '-0.189980', '0.088657', '0.506613', '0.582605', '0.000000', '-0.253307'],
  );
});

test('another model name gives other vectors', async () => {
  const [one] = await createEmbedder({ model: 'one' }).embed(['Otters hold hands.']);
  const [two] = await createEmbedder({ model: 'two' }).embed(['Otters hold hands.']);
  assert.ok(one !== undefined && two !== undefined && Math.abs(similarity(one, two)) < 0.5);
});

test('similar texts are nearer to each other than others', () => {
  const embed = (text: string): Float32Array => embedText(text, 384);
  const text = embed('The replicas converge when edits stop.');
  assert.ok(similarity(text, embed('When editing stops, every replica converges.')) > 0.3);
  assert.ok(similarity(text, embed('Michelangelo painted ceilings.')) < 0.1);
});

test('a question finds its passage among some hundreds', async () => {
  const embedder = createEmbedder();
  const others = otherPassages();
  assert.ok(others.length > 200, `only ${others.length} other passages`);
  const passages = [...PASSAGES.map(([, passage]) => passage), ...others];
  const vectors = await embedder.embed(passages);
  for (const [question, passage] of PASSAGES) {
    const asked = await embedder.embedQuery(question);
    const scores = vectors.map((vector) => similarity(vector, asked));
    // Among the first three: the other passages are this repository's own, which grow.
    const best = scores.toSorted((a, b) => b - a).slice(0, 3);
    assert.ok(best.includes(scores[passages.indexOf(passage)] ?? -1), question);
  }
});

test('calls are counted, questions apart from documents', async () => {
  const embedder = createEmbedder({ dimensions: 4 });
  await embedder.embed(['a', 'b']);
  await embedder.embed([]);
  await embedder.embedQuery('c');
  assert.deepEqual(embedder.calls, { requests: 2, chunks: 2, queries: 1 });
});
