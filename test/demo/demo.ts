// The story that the demo tells, act by act. Every claim on the screen is measured or looked up where it is made.
import type { Status } from '@docbus/agent/api.ts';
import { formatTable } from '@docbus/cli/table.ts';
import type { DocPath } from '@docbus/core';
import { systemClock } from '@docbus/runtime';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createEmbedder } from '../embedder/index.ts';
import { findChroma } from '../servers/chroma-find.ts';
import { environment } from '../servers/find.ts';
import { removeAfterDeath } from '../servers/process.ts';
import type { Found } from '../stand-in/index.ts';
import { compareReplicas, identicalCount, type Check } from './compare.ts';
import { openReplica, type DemoReplica } from './replica.ts';
import { bar, seconds, wrap, type Screen } from './screen.ts';
import { inspectAll, showWhile, untilSame, type Three } from './until-same.ts';
import { excerptOf, ownTexts, textsOf, type Library } from './texts.ts';

export type DemoOptions = {
  /** a directory of texts; undefined for docbus' own pages */
  readonly documents: string | undefined;
  readonly keep: boolean;
  readonly screen: Screen;
  readonly signal: AbortSignal;
};

const names = ['replica-1', 'replica-2', 'replica-3'] as const;
type Placed = { readonly name: string; readonly path: DocPath };

const PASSAGES = 3;

/** Runs the whole demo, ends everything it started, and says whether all replicas are identical. */
export async function runDemo({ documents, keep, screen, signal }: DemoOptions): Promise<boolean> {
  const library = documents === undefined ? ownTexts() : textsOf(documents);
  screen.line('docbus demo: three replicas of AnythingLLM become one knowledge base');
  screen.line();
  screen.say(
    'Everything runs on this machine: three replicas, each with its own storage, database, Chroma server and docbus agent, and one log ' +
      'that they share. A stand-in does to each storage what AnythingLLM would do. It embeds with a small local embedder that only hashes ' +
      'words; no model is downloaded.',
  );
  const directory = mkdtempSync(join(tmpdir(), 'docbus-demo-'));
  if (!keep) removeAfterDeath(directory); // whoever presses Ctrl-C twice ends this process before it can clean up
  let same: number;
  try {
    same = await tellStory({ directory, library, screen, signal });
  } finally {
    screen.clear();
    if (keep) screen.line(`\n${keptFiles(directory)}`);
    else rmSync(directory, { recursive: true, force: true });
  }
  if (!keep) screen.line();
  screen.line(`${same} of ${names.length} replicas identical`);
  return same === names.length;
}

type Story = { readonly directory: string; readonly library: Library; readonly screen: Screen; readonly signal: AbortSignal };

async function tellStory({ directory, library, screen, signal }: Story): Promise<number> {
  const open = (name: string, embedder = createEmbedder()): Promise<DemoReplica> =>
    openReplica({ name, directory: join(directory, name), log: `sqlite:${join(directory, 'log.db')}`, embedder, signal });

  screen.act('Start three empty replicas');
  // Once, before three of them wait for each other: it may have to be installed, and says so.
  if (environment('DOCBUS_TEST_CHROMA_URL') === undefined) await findChroma(signal);
  const start = systemClock.now();
  screen.progress('Starting 3 Chroma servers and 3 agents');
  await using running = new Replicas(await openAll(names.map((name) => open(name))));
  screen.say(`3 storages, 3 Chroma servers and 3 agents are up after ${seconds(systemClock.now() - start)}.`);
  screen.say(`They live in ${directory}.`);

  screen.act('Put documents into replica-1, and only there');
  const placed = await putDocuments(running.all, library, screen, signal);

  screen.act('Ask every replica the same question');
  const best = await askAll(running.all, library.question, screen);

  screen.act('Edit on different replicas');
  await editEverywhere(running.all, placed, best, screen, signal);

  screen.act('Lose replica-2');
  await loseAndRebuild(running, (embedder) => open(names[1], embedder), screen, signal);

  screen.act('Compare the replicas by what they hold');
  const compared = await inspectAll(running.all);
  const checks = compareReplicas(compared);
  screen.show(describeChecks(checks));
  return identicalCount(compared, checks);
}

/** Owns the replicas; the second one is replaced half way. */
class Replicas implements AsyncDisposable {
  #all: Three;

  constructor(all: Three) {
    this.#all = all;
  }

  get all(): Three {
    return this.#all;
  }

  replaceSecond(replica: DemoReplica): void {
    this.#all = [this.#all[0], replica, this.#all[2]];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#all.map((replica) => replica[Symbol.asyncDispose]()));
  }
}

/** All or none: where one cannot be opened, the others are closed again. */
async function openAll(opening: readonly Promise<DemoReplica>[]): Promise<Three> {
  const results = await Promise.allSettled(opening);
  const opened = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed === undefined) return opened as unknown as Three;
  await Promise.all(opened.map((replica) => replica[Symbol.asyncDispose]()));
  throw failed.reason;
}

async function putDocuments(all: Three, { texts, about }: Library, screen: Screen, signal: AbortSignal): Promise<readonly Placed[]> {
  const [one] = all;
  const kilobytes = Math.round(texts.reduce((sum, { text }) => sum + text.length, 0) / 1000);
  screen.say(`${texts.length} documents, ${kilobytes} KB: ${about}.`);
  const slug = await one.app.createWorkspace('Handbook');
  const placed: Placed[] = [];
  const start = systemClock.now();
  const putAll = async (): Promise<void> => {
    for (const { name, text } of texts) {
      signal.throwIfAborted();
      const path = await one.app.upload({ name: basename(name), title: name, text });
      const { embedded, errors } = await one.app.embed(slug, path);
      if (embedded.length === 0) throw new Error(`${name} could not be embedded on ${one.name}: ${errors.join(', ')}`);
      placed.push({ name, path });
    }
  };
  await showWhile(
    putAll(),
    async () => {
      const vectors = await Promise.all(all.map((replica) => replica.vectors()));
      screen.progress(`${bar(placed.length, texts.length)} ${placed.length} of ${texts.length} documents; vectors ${vectors.join(', ')}`);
    },
    signal,
  );
  const put = systemClock.now();
  const chunks = one.embedder.calls.chunks;
  screen.say(`${one.name} cut and embedded ${chunks} chunks in ${seconds(put - start)}. The agents passed them on meanwhile.`);
  const statuses = await untilSame(all, (vectors) => `vectors in Chroma: ${vectors.join(', ')}`, screen, signal);
  screen.say(`All three held the same ${seconds(systemClock.now() - put)} after the last document.`);
  screen.line();
  screen.show(await table(all, statuses, { 'embedded here': ({ embedder }) => embedder.calls.chunks }));
  return placed;
}

/** Each replica answers from its own Chroma, as a chat in its AnythingLLM would. Returns the best passage's title. */
async function askAll(all: Three, question: string, screen: Screen): Promise<string> {
  screen.say(`"${question}"`);
  screen.line();
  const answers = await Promise.all(all.map((replica) => ask(replica, question)));
  const [first] = answers as [readonly Found[]];
  first.forEach((passage, index) => {
    screen.show(`${index + 1}  ${titleOf(passage)}`);
    const [one = '', two = '', three] = wrap(excerptOf(textOf(passage), question), 70);
    screen.show(
      [one, three === undefined ? two : `${two} ...`]
        .filter((part) => part !== '')
        .map((part) => `   ${part}`)
        .join('\n'),
    );
  });
  screen.line();
  const different = all.filter((_, index) => answers[index]?.map(textOf).join('\n') !== first.map(textOf).join('\n'));
  if (different.length > 0) throw new Error(`${different.map(({ name }) => name).join(' and ')} gave other passages than ${all[0].name}.`);
  screen.say(`The same ${first.length} passages, from the Chroma of ${listOf(all.map(({ name }) => name))}.`);
  return titleOf(first[0]);
}

/** Chroma's index is approximate, and finds better what it searches wider; equal distances come in any order. */
async function ask({ app }: DemoReplica, question: string): Promise<readonly Found[]> {
  const found = await app.query('handbook', question, 10 * PASSAGES);
  return found.toSorted((a, b) => a.distance - b.distance || (textOf(a) < textOf(b) ? -1 : 1)).slice(0, PASSAGES);
}

const titleOf = (passage: Found | undefined): string => String(passage?.metadata?.['title'] ?? '');
/** Without the header that AnythingLLM puts on every chunk. */
const textOf = ({ text }: Found): string => (text ?? '').replace(/^<document_metadata>.*?<\/document_metadata>\s*/s, '');

async function editEverywhere(all: Three, placed: readonly Placed[], best: string, screen: Screen, signal: AbortSignal): Promise<void> {
  const [one, two, three] = all;
  const pinned = placed.find(({ name }) => name === best) as Placed;
  const [removed, deleted, ...rest] = placed.filter((document) => document !== pinned) as [Placed, Placed, ...Placed[]];
  const second = [pinned, ...rest.slice(-2)];
  const before = three.embedder.calls.chunks;

  const edits: readonly [DemoReplica, string, () => Promise<unknown>][] = [
    [one, `takes ${removed.name} out of the workspace`, () => one.app.unembed('handbook', removed.path)],
    [two, `pins ${pinned.name}`, () => two.app.pin('handbook', pinned.path)],
    [three, `deletes ${deleted.name}`, () => three.app.removeDocument(deleted.path)],
    [
      three,
      `makes a second workspace with ${second.length} documents`,
      async () => three.app.embed(await three.app.createWorkspace('Operators'), ...second.map(({ path }) => path)),
    ],
  ];
  const started = systemClock.now();
  for (const [replica, what, edit] of edits) {
    screen.show(`${replica.name}  ${what}`);
    await edit();
  }
  screen.line();
  const statuses = await untilSame(all, () => 'waiting until all have seen it', screen, signal);
  screen.say(
    `All of it was on all three ${seconds(systemClock.now() - started)} after the first edit. (A deletion waits for a second on purpose: a ` +
      `file may be gone only because it is being replaced.) The second workspace took its vectors from the cache that ${three.name} had ` +
      `received: ${three.embedder.calls.chunks - before} chunks embedded.`,
  );
  screen.line();
  const pins = new Map(
    (await inspectAll(all)).map(({ name, inspection }) => [
      name,
      [...inspection.memberships.values()].flat().filter((copy) => copy.pinned).length,
    ]),
  );
  screen.show(await table(all, statuses, { workspaces: (_, { present }) => present.workspace, pinned: ({ name }) => pins.get(name) ?? 0 }));
}

async function loseAndRebuild(
  running: Replicas,
  reopen: (embedder: DemoReplica['embedder']) => Promise<DemoReplica>,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  const [one, lost] = running.all;
  const { embedder } = lost;
  const embedded = (): number => running.all.reduce((sum, replica) => sum + replica.embedder.calls.chunks, 0);
  const expected = { documents: one.documents(), vectors: await one.vectors() };
  const before = embedded();
  await lost.lose();
  screen.say(`Killed its agent and its Chroma with SIGKILL. Deleted its storage, its database, its vectors and its agent's state.`);
  screen.say('Started it again with nothing but its name.');
  const again = await reopen(embedder);
  running.replaceSecond(again);
  await untilSame(
    running.all,
    ([, vectors = 0]) => {
      const documents = again.documents();
      const done = bar(documents + vectors, expected.documents + expected.vectors);
      return `${done} ${documents} of ${expected.documents} documents, ${vectors} of ${expected.vectors} vectors`;
    },
    screen,
    signal,
  );
  const tookMs = systemClock.now() - again.startedAt;
  const [vectors, status] = await Promise.all([again.vectors(), again.status()]);
  screen.say(
    `Rebuilt from the log in ${seconds(tookMs)}, the start of its agent included: ${status.present.document} documents and ${vectors} vectors, ` +
      `${Math.round((vectors / tookMs) * 1000)} vectors a second.`,
  );
  screen.say(`Calls to an embedder: ${embedded() - before}. The vectors came from the log.`);
}

type Column = (replica: DemoReplica, status: Status) => number;

async function table(all: Three, statuses: readonly Status[], more: Readonly<Record<string, Column>>): Promise<string> {
  const vectors = await Promise.all(all.map((replica) => replica.vectors()));
  const head = ['replica', 'documents', 'chunks', 'vectors', ...Object.keys(more), 'lag', 'digest'];
  const rows = all.map((replica, index) => {
    const status = statuses[index] as Status;
    const { present, chunks, lagRecords, digest } = status;
    const added = Object.values(more).map((column) => column(replica, status));
    return [replica.name, present.document, chunks, vectors[index] ?? 0, ...added, lagRecords ?? '?', digest.slice(0, 12)];
  });
  return formatTable([head, ...rows]);
}

function describeChecks(checks: readonly Check[]): string {
  const rows = checks.map(({ what, count, differences }) => [
    what,
    count,
    differences.length === 0 ? 'the same' : `${differences.length} DIFFERENT`,
  ]);
  const sentences = checks.flatMap(({ differences }) => differences.slice(0, 5).map(({ sentence }) => sentence));
  return [formatTable([['', 'compared', ''], ...rows]), ...(sentences.length === 0 ? [] : ['', ...sentences])].join('\n');
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

function keptFiles(directory: string): string {
  return `Kept, with nothing running: ${directory}
   log.db               the log
   replica-N/storage    documents, caches, database; the agent's state in docbus/
   replica-N/chroma     the vectors
   replica-N/agent.log  what the agent said
`;
}
