// propagate: a document is embedded on one replica; how long until a query on another finds it? Two real agent processes, each with its
// own Chroma, on one log. Beside it, in turns, what cannot be saved is measured alone: appending the same records, reading them, and
// one prepared upsert of the same vectors.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DocPath, Embedding, Slug } from '@docbus/core';
import { openLog } from '@docbus/log';
import type { Log, Position } from '@docbus/log/port.ts';
import { openCaches } from '@docbus/replica/caches.ts';
import { systemClock } from '@docbus/runtime';
import type { Embedder } from '../embedder/index.ts';
import { startReplica, type E2eReplica } from '../e2e/replica.ts';
import { waitFor } from '../servers/process.ts';
import { createContent, type Content } from './content.ts';
import { documentRecords } from './history.ts';
import { atMost, median, percentile, round, type Bench, type BenchOptions } from './outcome.ts';
import { nearestQuery, openRawChroma, prepare, rowsOf, warmUp, type RawChroma } from './raw-chroma.ts';

const DIMENSIONS = 384;
/** about so many chunks, a document of four pages */
const PARAGRAPHS = 10;
/** The first ones find caches empty and code cold. */
const WARM_ROUNDS = 3;
const GOAL = 1.5;
const PATIENCE_MS = 30_000;
/** Between two queries: asking without a pause would take the processor from the server that is asked. */
const ASK_MS = 5;
/**
 * The first query of a round comes after this share of what the shortest of the last few rounds took: what is asked before finds nothing,
 * and the upsert that it waits for takes a third longer (measured).
 */
const FIRST_ASK = 0.8;
const LAST_ROUNDS = 5;

export const bench: Bench = {
  about: 'row committed on A → found by a query on B, ÷ append + read + upsert measured alone',
  run: async (options) => {
    const rounds = options.quick ? 15 : 100;
    const { directory, logUrl, signal, say } = options;
    const content = createContent(DIMENSIONS);
    const embedder = randomEmbedder(content);
    const logDirectory = join(directory, 'log');
    mkdirSync(logDirectory);
    const url = logUrl(logDirectory);
    const env = { DOCBUS_LOG_LEVEL: 'info', DOCBUS_SETTLE_MS: undefined, DOCBUS_SWEEP_MS: undefined };
    const start = (name: string): Promise<E2eReplica> => startReplica({ name, directory, log: url, controlled: false, env, embedder });
    await using a = await start('a');
    await using b = await start('b');
    for (const { chroma } of [a, b]) await warmUp(chroma.url, signal);
    await Promise.all([a.startAgent(), b.startAgent()]);
    const slug = await a.app.createWorkspace('Bench');

    using raw = openRawChroma(b.chroma.url, signal);
    // An agent that meets a new workspace begins it with a new collection: only then is the one there that will be filled.
    const knowsWorkspace = async (): Promise<boolean> => (await b.status()).present.workspace === 1;
    await waitFor('the workspace to be on B', knowsWorkspace, { deadlineMs: PATIENCE_MS, everyMs: 20 }, signal);
    const [found, apart] = [await raw.collection(slug), await raw.collection('measured-alone')];
    await using baseline = await openBaseline(options, raw, apart);
    const whole: number[] = [];
    const parts: Parts[] = [];
    for (let i = -WARM_ROUNDS; i < rounds; i++) {
      const path = await uploadAndWait(a, b, content, i + WARM_ROUNDS, signal);
      const firstAskMs = whole.length === 0 ? 0 : FIRST_ASK * Math.min(...whole.slice(-LAST_ROUNDS));
      const { ms, embedding } = await propagateOnce({ a, raw, found, slug, path, firstAskMs, signal });
      await idle([a, b], signal);
      const alone = await baseline.measure(path, embedding, signal);
      if (i < 0) continue;
      whole.push(ms);
      parts.push(alone);
      if ((i + 1) % (options.quick ? 5 : 20) === 0)
        say(`${i + 1} of ${rounds}: ${median(whole).toFixed(1)} ms, alone ${median(parts.map(sumOf)).toFixed(1)} ms (medians so far)`);
    }
    const sums = parts.map(sumOf);
    const ratio = (share: number): number => percentile(whole, share) / percentile(sums, share);
    const of = (values: readonly number[]) => ({ p50: round(percentile(values, 0.5)), p99: round(percentile(values, 0.99)) });
    return {
      figures: {
        rounds,
        dimensions: DIMENSIONS,
        propagateMs: of(whole),
        appendMs: of(parts.map(({ append }) => append)),
        readMs: of(parts.map(({ read }) => read)),
        upsertMs: of(parts.map(({ upsert }) => upsert)),
        sumMs: of(sums),
        ratio_p99: round(ratio(0.99)),
      },
      goals: [atMost('p50', ratio(0.5), GOAL)],
    };
  },
};

function randomEmbedder(content: Content): Embedder {
  return {
    engine: 'test',
    model: 'bench',
    dimensions: DIMENSIONS,
    maxChunkLength: 1_000,
    calls: { requests: 0, chunks: 0, queries: 0 },
    embed: async (texts) => {
      const vectors = content.vectors(texts.length);
      return texts.map((_, i) => vectors.subarray(i * DIMENSIONS, (i + 1) * DIMENSIONS));
    },
    embedQuery: async () => content.vectors(1),
  };
}

/** The document itself is everywhere before its embedding is measured. */
async function uploadAndWait(a: E2eReplica, b: E2eReplica, content: Content, before: number, signal: AbortSignal): Promise<DocPath> {
  const path = await a.app.upload({ name: `minutes-${before}.md`, text: content.text(PARAGRAPHS) });
  const there = async (): Promise<boolean> => {
    const { present } = await b.status();
    return present.document === before + 1 && present.workspace === 1;
  };
  await waitFor(`document ${before} to be on B`, there, { deadlineMs: PATIENCE_MS, everyMs: 20 }, signal);
  await idle([a, b], signal);
  return path;
}

async function idle(replicas: readonly E2eReplica[], signal: AbortSignal): Promise<void> {
  const quiet = async (): Promise<boolean> =>
    (await Promise.all(replicas.map((replica) => replica.status()))).every(
      ({ unpublished, lagRecords, phase }) => unpublished === 0 && lagRecords === 0 && phase === 'following',
    );
  await waitFor('both agents to have nothing to do', quiet, { deadlineMs: PATIENCE_MS, everyMs: 20 }, signal);
}

type Once = {
  readonly a: E2eReplica;
  readonly raw: RawChroma;
  readonly found: string;
  readonly slug: Slug;
  readonly path: DocPath;
  readonly firstAskMs: number;
  readonly signal: AbortSignal;
};

async function propagateOnce({
  a,
  raw,
  found,
  slug,
  path,
  firstAskMs,
  signal,
}: Once): Promise<{ readonly ms: number; readonly embedding: Embedding }> {
  let started: number | undefined;
  let query: Buffer | undefined;
  let ended: Promise<number> | undefined;
  let embedding: Embedding | undefined;
  for await (const { done } of a.app.steps.embed(slug, path)) {
    if (done === 'cache written') {
      const reading = openCaches({ storageDir: a.storageDir, clock: systemClock }).read(path);
      if (reading.type !== 'read') throw new Error(`The cache of ${path} cannot be read.`);
      embedding = reading.value;
      query = nearestQuery(embedding.vectors.subarray(0, DIMENSIONS));
    }
    if (done === 'document row added' && query !== undefined) {
      started = performance.now();
      const { promise, resolve } = Promise.withResolvers<void>();
      setTimeout(resolve, firstAskMs);
      const asked = query;
      ended = promise.then(() => seen(raw, found, asked, signal));
    }
  }
  if (started === undefined || ended === undefined || embedding === undefined) throw new Error(`${path} was not embedded.`);
  return { ms: (await ended) - started, embedding };
}

/** The moment at which a query first finds the vector itself. */
async function seen(raw: RawChroma, collection: string, query: Buffer, signal: AbortSignal): Promise<number> {
  const until = performance.now() + PATIENCE_MS;
  while (performance.now() < until) {
    if ((await raw.nearest(collection, query)) < 1e-4) return performance.now();
    await systemClock.sleep(ASK_MS, signal);
  }
  throw new Error('The vector did not arrive.');
}

type Parts = { readonly append: number; readonly read: number; readonly upsert: number };
const sumOf = ({ append, read, upsert }: Parts): number => append + read + upsert;

type Baseline = AsyncDisposable & { measure(path: DocPath, embedding: Embedding, signal: AbortSignal): Promise<Parts> };

/** A log of the same kind that nobody listens to, and another collection of the same server. */
async function openBaseline({ directory, logUrl, signal }: BenchOptions, raw: RawChroma, collection: string): Promise<Baseline> {
  const place = join(directory, 'log-alone');
  mkdirSync(place);
  const url = logUrl(place);
  const open = (replica: string): Promise<Log> => openLog(url, { replica, clock: systemClock }, signal);
  const [writer, reader] = [await open('writer'), await open('reader')];
  let position: Position | undefined;
  return {
    async measure(path, embedding, within) {
      const document = { path, bytes: new Uint8Array(), embedding, docId: `alone ${path}` };
      const { embedding: records, membership } = documentRecords(document);
      const body = prepare(rowsOf([document]), embedding.texts.length)[0]?.body ?? Buffer.alloc(0);
      const append = await timed(() => writer.append([...records, ...membership], within));
      const read = await timed(async () => {
        position = (await reader.read(position, { recordsMax: 1000, bytesMax: 16 << 20 }, within)).at(-1)?.position;
      });
      const upsert = await timed(() => raw.send(collection, 'upsert', body));
      return { append, read, upsert };
    },
    async [Symbol.asyncDispose]() {
      await writer[Symbol.asyncDispose]();
      await reader[Symbol.asyncDispose]();
    },
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}
