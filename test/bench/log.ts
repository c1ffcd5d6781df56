// log: records per second of each driver, appended and read as the agent does it, ÷ what the product's own client does bare, with the
// same durability. Both take turns on one server, each with a log of its own.
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openLog } from '@docbus/log';
import type { Log, LogRecord, Position } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime';
import { createMeter, openBare, type BareLog } from './bare-clients.ts';
import { logKinds, openBenchLog, type LogKind } from './broker.ts';
import { atLeast, median, round, type Bench, type BenchOptions, type Goal } from './outcome.ts';

const GOAL = 0.8;
/** One append of the agent's has at most so many changes or bytes. */
const APPEND = { records: 200, bytes: 8 << 20 };
const READ = { recordsMax: 4000, bytesMax: 16 << 20 };
const SIZES = [
  { name: '1KB', bytes: 1 << 10, records: 2_000 },
  { name: '64KB', bytes: 64 << 10, records: 320 },
  { name: '512KB', bytes: 512 << 10, records: 48 },
] as const;

type Size = (typeof SIZES)[number];
type Rates = { readonly driver: number[]; readonly bare: number[] };

export const bench: Bench = {
  about: "records/s of each driver ÷ the product's own client with the same durability",
  run: async (options) => {
    const figures: Record<string, unknown> = {};
    const goals: Goal[] = [];
    const wanted = options.log === undefined ? logKinds : logKinds.filter((kind) => kind === options.log);
    for (const kind of wanted) {
      const { append, read } = await measure(kind, options);
      for (const { name } of SIZES)
        for (const [what, rates] of [
          ['append', append.get(name)],
          ['read', read.get(name)],
        ] as const) {
          if (rates === undefined) continue;
          const ratios = rates.driver.map((rate, turn) => rate / (rates.bare[turn] ?? NaN));
          const part = `${kind}_${what}_${name}`;
          goals.push(atLeast(part, median(ratios), GOAL));
          figures[part] = {
            driverPerSecond: rates.driver.map(round),
            barePerSecond: rates.bare.map(round),
            ratios: ratios.map(round),
          };
          options.say(`${part}: ${round(median(rates.driver))}/s, bare ${round(median(rates.bare))}/s: ${median(ratios).toFixed(3)}`);
        }
    }
    return { figures, goals };
  },
};

type Measured = { readonly append: Map<string, Rates>; readonly read: Map<string, Rates> };

async function measure(kind: LogKind, options: BenchOptions): Promise<Measured> {
  const { directory, quick, only, signal, say } = options;
  const place = join(directory, kind);
  mkdirSync(place, { recursive: true });
  await using server = await openBenchLog(kind, place, signal);
  const [append, read] = [new Map<string, Rates>(), new Map<string, Rates>()];
  for (const size of SIZES.filter(({ name }) => only === undefined || name === only)) {
    say(`${kind}: records of ${size.name}`);
    const own = join(place, size.name);
    mkdirSync(own);
    await using log = await openLog(server.url(own), { replica: 'bench', clock: systemClock }, signal);
    await using bare = await openBare(kind, server.address, own);
    const rounds = quick ? 2 : 7;
    const appended: Rates = { driver: [], bare: [] };
    // The first ones find connections, topics and code cold.
    for (let turn = -1; turn < rounds; turn++) {
      const records = recordsOf(size, turn, quick);
      const turns = [
        async () => turn >= 0 && appended.driver.push(await timed(records, (some) => log.append(some, signal))),
        async () => turn >= 0 && appended.bare.push(await timed(records, (some) => bare.append(some))),
      ];
      if (turn < 0) await Promise.all([timed(records, (some) => log.append(some, signal)), timed(records, (some) => bare.append(some))]);
      for (const take of turn % 2 === 0 ? turns : turns.toReversed()) await take();
    }
    append.set(size.name, appended);
    read.set(size.name, await readBoth(log, bare, (rounds + 1) * recordsOf(size, 0, quick).length, rounds, signal));
  }
  return { append, read };
}

async function readBoth(log: Log, bare: BareLog, count: number, rounds: number, signal: AbortSignal): Promise<Rates> {
  const rates: Rates = { driver: [], bare: [] };
  await readAll(log, count, signal);
  await bare.readAll(count);
  for (let turn = 0; turn < rounds; turn++) {
    const turns = [
      async () => rates.driver.push(await readAll(log, count, signal)),
      async () => rates.bare.push(await bare.readAll(count)),
    ];
    for (const take of turn % 2 === 0 ? turns : turns.toReversed()) await take();
  }
  return rates;
}

/** From the first record on; records per second. */
async function readAll(log: Log, count: number, signal: AbortSignal): Promise<number> {
  const meter = createMeter(count);
  let position: Position | undefined;
  for (;;) {
    const records = await log.read(position, READ, signal);
    if (records.length === 0) return await meter.done;
    position = records.at(-1)?.position;
    meter.took(records.length);
  }
}

/** Records per second. */
async function timed(records: readonly LogRecord[], append: (some: readonly LogRecord[]) => Promise<void>): Promise<number> {
  const started = performance.now();
  const each = Math.max(1, Math.min(APPEND.records, Math.floor(APPEND.bytes / (records[0]?.value?.length ?? 1))));
  for (let from = 0; from < records.length; from += each) await append(records.slice(from, from + each));
  return (records.length * 1000) / (performance.now() - started);
}

/** As payloads are: no compression could make them smaller. */
function recordsOf({ bytes, records }: Size, turn: number, quick: boolean): readonly LogRecord[] {
  const value = randomBytes(bytes);
  const headers = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
  return Array.from({ length: quick ? Math.ceil(records / 10) : records }, (_, i) => ({
    key: `document/custom-documents/minutes-of-the-meeting-${turn}-${i}.md-0b1f2c3d.json`,
    value,
    headers,
  }));
}
