// rebuild: how much of Chroma's own speed is left when an agent rebuilds a replica from the log. A real agent process reads a log that
// other replicas have written and applies it all (files, caches, rows, vectors); beside it, in turns, the same vectors are sent to
// another new Chroma as prebuilt requests of the best size, by a client that does nothing else.
import { execFile } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openLog } from '@docbus/log';
import { systemClock } from '@docbus/runtime';
import { startReplica } from '../e2e/replica.ts';
import { startChroma } from '../servers/chroma.ts';
import { waitFor } from '../servers/process.ts';
import { createContent, type BenchDocument } from './content.ts';
import { documentRecords, embedder, slug, workspaceRecords } from './history.ts';
import { atLeast, median, round, type Bench, type BenchOptions, type Goal } from './outcome.ts';
import { cpuSeconds } from './process-facts.ts';
import { openRawChroma, prepare, rowsOf, warmUp, type Prepared } from './raw-chroma.ts';

type Shape = { readonly name: string; readonly dimensions: number; readonly documents: number; readonly chunks: number };

const shapes = (quick: boolean): readonly Shape[] =>
  [384, 1536].flatMap((dimensions) => {
    const vectors = quick ? 1_500 : dimensions === 384 ? 9_000 : 6_000;
    return [
      { name: `small_${dimensions}`, dimensions, documents: vectors / 3, chunks: 3 },
      { name: `large_${dimensions}`, dimensions, documents: vectors / 300, chunks: 300 },
    ];
  });

const REQUEST_SIZES = [300, 1000, 2500];
const GOAL = 0.9;
const REBUILD_MS = 300_000;

export const bench: Bench = {
  about: 'vectors/s of an agent that rebuilds a replica ÷ vectors/s of prebuilt requests to the same kind of Chroma',
  run: async (options) => {
    const { quick, only, say } = options;
    const rounds = quick ? 1 : 5;
    const figures: Record<string, unknown> = { rounds };
    const goals: Goal[] = [];
    const sizes = new Map<number, number>();
    for (const shape of shapes(quick).filter(({ name }) => only === undefined || name.includes(only))) {
      const content = createContent(shape.dimensions);
      const documents = Array.from({ length: shape.documents }, (_, i) => content.document(i, shape.chunks));
      const perRequest = sizes.get(shape.dimensions) ?? (await bestRequestSize(options, documents));
      sizes.set(shape.dimensions, perRequest);
      const requests = prepare(rowsOf(documents), perRequest);
      const log = await writeLog(options, shape.name, documents);
      const raws: Sent[] = [];
      const agents: Rebuilt[] = [];
      for (let turn = 0; turn < rounds; turn++) {
        // Whoever comes second finds another machine than whoever came first: they change places.
        const place = placeOf(options, `${shape.name}-${turn}`);
        if (turn % 2 === 0) raws.push(await sendRaw(options, place('raw'), requests));
        agents.push(await rebuildOnce(options, place('rebuilt'), log, shape));
        if (turn % 2 === 1) raws.push(await sendRaw(options, place('raw'), requests));
        const [raw, agent] = [raws[turn]!, agents[turn]!];
        say(
          `${shape.name}: raw ${Math.round(raw.rate)}/s, agent ${Math.round(agent.rate)}/s: ${(agent.rate / raw.rate).toFixed(3)}` +
            ` (CPU a vector: raw Chroma ${raw.chromaMs.toFixed(2)} ms, Chroma ${agent.chromaMs.toFixed(2)}, agent ${agent.agentMs.toFixed(2)};` +
            ` making a file ${agent.fileMs.toFixed(3)} ms)`,
        );
      }
      const ratios = (rateOf: (agent: Rebuilt) => number): number[] => agents.map((agent, turn) => rateOf(agent) / raws[turn]!.rate);
      const ratio = median(ratios(({ rate }) => rate));
      goals.push(atLeast(shape.name, ratio, GOAL));
      figures[shape.name] = {
        vectors: shape.documents * shape.chunks,
        documents: shape.documents,
        vectorsPerRawRequest: perRequest,
        rawVectorsPerSecond: raws.map(({ rate }) => round(rate)),
        agentVectorsPerSecond: agents.map(({ rate }) => round(rate)),
        ratios: ratios(({ rate }) => rate).map(round),
        ratioWithProcessStart: round(median(ratios(({ withStart }) => withStart))),
        cpuMsPerVector: {
          rawChroma: round(median(raws.map(({ chromaMs }) => chromaMs))),
          chroma: round(median(agents.map(({ chromaMs }) => chromaMs))),
          agent: round(median(agents.map(({ agentMs }) => agentMs))),
        },
        msToMakeAFile: agents.map(({ fileMs }) => round(fileMs)),
      };
    }
    return { figures, goals };
  },
};

async function bestRequestSize(options: BenchOptions, documents: readonly BenchDocument[]): Promise<number> {
  if (options.quick) return 1000;
  const rows = rowsOf(documents).slice(0, 5_000);
  let best = { size: 0, rate: 0 };
  for (const size of REQUEST_SIZES) {
    const { rate } = await sendRaw(
      options,
      placeOf(options, `requests-${rows[0]?.embedding.dimensions}-of-${size}`)('raw'),
      prepare(rows, size),
    );
    options.say(`prebuilt requests of ${size}: ${Math.round(rate)}/s`);
    if (rate > best.rate) best = { size, rate };
  }
  return best.size;
}

/**
 * A directory of its own for each part of a round. All stay until the bench ends: an ext4 without a journal looks at every inode that was
 * freed in the last minutes before it makes a file, so that a round after one that was removed takes ten times as long for each.
 */
function placeOf({ directory }: BenchOptions, name: string): (part: string) => string {
  return (part) => {
    const place = join(directory, name, part);
    mkdirSync(place, { recursive: true });
    return place;
  };
}

const PROBE_FILES = 200;

/** What making an empty file takes here and now, in ms: a figure of the disk that is as good as none of the agent's. */
function makeFiles(directory: string): number {
  mkdirSync(directory);
  const started = performance.now();
  for (let i = 0; i < PROBE_FILES; i++) closeSync(openSync(join(directory, `${i}`), 'wx'));
  return (performance.now() - started) / PROBE_FILES;
}

/** `rate`: vectors per second; the others: processor time for each */
type Sent = { readonly rate: number; readonly chromaMs: number };

async function sendRaw({ signal }: BenchOptions, place: string, requests: readonly Prepared[]): Promise<Sent> {
  await using server = await startChroma({ directory: join(place, 'chroma'), signal });
  await warmUp(server.url, signal);
  using raw = openRawChroma(server.url, signal);
  const collection = await raw.collection(slug);
  await quieten();
  const cpu = cpuOf(server.pid);
  const started = performance.now();
  for (const { body } of requests) await raw.send(collection, 'add', body);
  const seconds = (performance.now() - started) / 1000;
  const vectors = requests.reduce((sum, request) => sum + request.vectors, 0);
  const chromaMs = ((cpuOf(server.pid) - cpu) * 1000) / vectors;
  if ((await raw.count(collection)) !== vectors) throw new Error('Chroma does not hold what was sent.');
  return { rate: vectors / seconds, chromaMs };
}

/** Documents in groups, as agents publish them: files, then embeddings, then memberships; a step of theirs ends after so many changes or bytes. */
const GROUP_DOCUMENTS = 60;
const GROUP_BYTES = 8 << 20;

async function writeLog(
  { directory, logUrl, signal, say }: BenchOptions,
  name: string,
  documents: readonly BenchDocument[],
): Promise<string> {
  const place = join(directory, `log-${name}`);
  mkdirSync(place, { recursive: true });
  const url = logUrl(place);
  await using log = await openLog(url, { replica: 'author', clock: systemClock }, signal);
  await log.append(workspaceRecords(), signal);
  const packedBytes = (documents[0]?.embedding.vectors.byteLength ?? 0) * 0.8;
  const group = Math.max(1, Math.min(GROUP_DOCUMENTS, Math.floor(GROUP_BYTES / packedBytes)));
  for (let from = 0; from < documents.length; from += group) {
    const records = documents.slice(from, from + group).map(documentRecords);
    await log.append(
      [...records.flatMap((of) => of.document), ...records.flatMap((of) => of.embedding), ...records.flatMap((of) => of.membership)],
      signal,
    );
  }
  say(`${name}: ${documents.length} documents are in the log`);
  return url;
}

/** A server that was leased has no process of ours. */
const cpuOf = (pid: number): number => (pid === 0 ? NaN : cpuSeconds(pid));

/** What others left to be written to the disk is not this round's work. */
async function quieten(): Promise<void> {
  await promisify(execFile)('sync');
}

type Rebuilt = Sent & { readonly withStart: number; readonly agentMs: number; readonly fileMs: number };

async function rebuildOnce({ signal }: BenchOptions, place: string, log: string, shape: Shape): Promise<Rebuilt> {
  await using replica = await startReplica({
    name: 'rebuilt',
    directory: place,
    log,
    controlled: false,
    env: {
      DOCBUS_LOG_LEVEL: 'info',
      DOCBUS_SETTLE_MS: undefined,
      DOCBUS_SWEEP_MS: undefined,
      EMBEDDING_ENGINE: embedder.engine,
      EMBEDDING_MODEL_PREF: embedder.model,
    },
  });
  await warmUp(replica.chroma.url, signal);
  const fileMs = makeFiles(join(place, 'probe'));
  await quieten();
  const chromaCpu = cpuOf(replica.chroma.pid);
  const started = systemClock.now();
  await replica.startAgent();
  const lines = (): readonly { readonly time: string; readonly message: string }[] =>
    replica.agent
      .text()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as { time: string; message: string });
  const timeOf = (message: string): number | undefined => {
    const line = lines().find((found) => found.message.startsWith(message));
    return line === undefined ? undefined : Date.parse(line.time);
  };
  await waitFor(
    'the agent to read the log to its end',
    () => timeOf('bootstrapped') !== undefined || replica.agent.hasEnded(),
    { deadlineMs: REBUILD_MS, everyMs: 200 },
    signal,
  );
  const [chromaSeconds, agentSeconds] = [
    cpuOf(replica.chroma.pid) - chromaCpu,
    replica.agent.hasEnded() ? NaN : cpuSeconds(replica.agent.pid),
  ];
  const [begun, ended] = [timeOf('the agent runs'), timeOf('bootstrapped')];
  if (begun === undefined || ended === undefined) throw new Error(`The agent did not rebuild the replica:\n${replica.agent.tail()}`);
  const vectors = shape.documents * shape.chunks;
  using raw = openRawChroma(replica.chroma.url, signal);
  const found = await raw.count(await raw.collection(slug));
  const { present, quarantined } = await replica.status();
  if (found !== vectors || present.membership !== shape.documents || quarantined > 0)
    throw new Error(`The rebuilt replica holds ${found} of ${vectors} vectors.\n${replica.agent.tail()}`);
  await replica.stopAgent();
  return {
    rate: (vectors * 1000) / (ended - begun),
    withStart: (vectors * 1000) / (ended - started),
    chromaMs: (chromaSeconds * 1000) / vectors,
    agentMs: (agentSeconds * 1000) / vectors,
    fileMs,
  };
}
