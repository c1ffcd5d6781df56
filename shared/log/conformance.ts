// One suite for every driver: the promises of port.ts, one test each. A driver's test file is a set-up and one call.
// Records may become visible some time after their append: the suite waits for conditions, never for times.
import { describe, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { isDocbusError, type ErrorCode } from '@docbus/core';
import type { Log, LogRecord, Position, ReadLimits, ReadRecord } from './port.ts';

/** Something a test needs done to the log from outside; or the reason why it cannot be done with this product. */
export type Means = (() => Promise<void>) | { readonly cannot: string };

export type ConformanceLog = AsyncDisposable & {
  /** A further handle on this log. */
  open(replica: string): Promise<Log>;
  /** Deletes the log and makes another under the same address. */
  readonly recreate: Means;
  /** Cuts off at least the two oldest records, as a retention limit would; may append records of its own under `filler/…`. */
  readonly truncate: Means;
  /** Takes away all but so many of the oldest records of the suite, as a power cut does to what was not flushed, or an old backup put back. */
  readonly loseTail: ((kept: number) => Promise<void>) | { readonly cannot: string };
};

export type ConformanceSetup = {
  /** A new, empty log. Disposed by the suite, handles first. */
  create(): Promise<ConformanceLog>;
  /** True where append itself removes the older value of a key. */
  readonly compactsAtAppend: boolean;
  /** How long an append may take to become visible, and a hint to arrive. */
  readonly deadlineMs: number;
};

const unlimited: ReadLimits = { recordsMax: 1000, bytesMax: 64 << 20 };
const never = new AbortController().signal;

const record = (key: string, value: string | Uint8Array | null = key, headers: Record<string, string> = {}): LogRecord => ({
  key,
  value: typeof value === 'string' ? Buffer.from(value) : value,
  headers,
});
const text = (read: LogRecord) => (read.value === null ? null : Buffer.from(read.value).toString());
const texts = (all: readonly LogRecord[]) => all.map(text);
const isFiller = (read: LogRecord) => read.key.startsWith('filler/');

export function logConformance(name: string, setup: ConformanceSetup): void {
  /** A fresh log with some handles, all closed when the test ends. */
  async function arrange<const Names extends readonly string[]>(t: TestContext, names: Names) {
    const stack = new AsyncDisposableStack();
    t.after(() => stack.disposeAsync());
    const shared = stack.use(await setup.create());
    const logs: Log[] = [];
    for (const replica of names) logs.push(stack.use(await shared.open(replica)));
    return { shared, logs: logs as { [K in keyof Names]: Log }, open: async (replica: string) => stack.use(await shared.open(replica)) };
  }

  /** Asks until the answer is there; what may pass (a broker that is busy or restarting) may happen meanwhile. */
  async function eventually<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
    const deadline = performance.now() + setup.deadlineMs;
    for (;;) {
      let last: unknown;
      try {
        const answer = await ask();
        if (answer !== undefined) return answer;
      } catch (error) {
        if (!isDocbusError(error, 'log_unreachable', 'log_busy')) throw error;
        last = error;
      }
      if (performance.now() > deadline) throw new Error(`not within ${setup.deadlineMs} ms: ${what}`, { cause: last });
      await pause(10);
    }
  }

  /** Reads, batch after batch, until `done`. */
  async function readUntil(log: Log, after: Position | undefined, done: (all: readonly ReadRecord[]) => boolean, limits = unlimited) {
    const all: ReadRecord[] = [];
    let position = after;
    return eventually(`records that end the read after ${after ?? 'the start'} (so far ${all.length})`, async () => {
      const batch = await log.read(position, limits, never);
      all.push(...batch);
      position = batch.at(-1)?.position ?? position;
      return done(all) ? all : undefined;
    });
  }
  const readCount = (log: Log, after: Position | undefined, count: number, limits = unlimited) =>
    readUntil(log, after, (all) => all.length >= count, limits);
  /** Everything up to a record that is appended now; without that record. */
  async function readToEnd(log: Log, after?: Position) {
    const mark = `mark/${Math.random()}`;
    await log.append([record(mark)], never);
    const all = await readUntil(log, after, (found) => found.at(-1)?.key === mark);
    return all.slice(0, -1).filter((read) => !read.key.startsWith('mark/'));
  }
  const rejects = (promise: Promise<unknown>, code: ErrorCode) => assert.rejects(promise, (error) => isDocbusError(error, code));
  const eventuallyRejects = (what: string, call: () => Promise<unknown>, code: ErrorCode) =>
    eventually(what, () =>
      call().then(
        () => undefined,
        (error: unknown) => {
          if (isDocbusError(error, code)) return true;
          throw error;
        },
      ),
    );

  /** A driver that hangs fails its test and not the whole run. */
  const check = (promise: string, run: (t: TestContext) => Promise<void>) => {
    test(promise, { timeout: setup.deadlineMs * 4 + 5000 }, run);
  };

  describe(`the log on ${name}`, () => {
    check('a fresh log has nothing to read', async (t) => {
      const { logs } = await arrange(t, ['a']);
      assert.deepEqual(await logs[0].read(undefined, unlimited, never), []);
      assert.equal((await logs[0].end(undefined, never)).oldestTime, undefined);
    });

    check('what one handle appends another reads: keys, values, headers, order and time', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      const before = Date.now();
      const records = [record('document/f/1.json', 'one', { h: 'x' }), record('document/f/2.json', 'two'), record('workspace/w', 'three')];
      await logs[0].append(records, never);
      const read = await readCount(logs[1], undefined, 3);
      assert.deepEqual(
        read.map(({ key, headers }) => ({ key, headers })),
        records.map(({ key, headers }) => ({ key, headers })),
      );
      assert.deepEqual(texts(read), ['one', 'two', 'three']);
      // A minute of difference between a broker's clock and ours is no fault of the driver.
      for (const { time } of read) assert.ok(time >= before - 60_000 && time <= Date.now() + 60_000, `time ${time}`);
    });

    check('reading goes on after a position, with another handle too, and [] is the end', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      await logs[0].append([record('a'), record('b'), record('c')], never);
      const read = await readCount(logs[0], undefined, 3);
      assert.deepEqual(texts(await readCount(logs[1], read[0]?.position, 2)), ['b', 'c']);
      assert.deepEqual(await logs[1].read(read[2]?.position, unlimited, never), []);
      assert.equal(new Set(read.map(({ position }) => position)).size, 3);
    });

    check('reading the same place twice gives the same records', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('a'), record('b')], never);
      assert.deepEqual(await readCount(logs[0], undefined, 2), await readCount(logs[0], undefined, 2));
    });

    check('a batch holds at most recordsMax records', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const keys = Array.from({ length: 7 }, (_, i) => `k${i}`);
      await logs[0].append(
        keys.map((key) => record(key)),
        never,
      );
      await readCount(logs[0], undefined, 7);
      const sizes: number[] = [];
      const all: ReadRecord[] = [];
      while (all.length < 7) {
        const batch = await eventually('the next batch', async () => {
          const found = await logs[0].read(all.at(-1)?.position, { recordsMax: 3, bytesMax: 1 << 20 }, never);
          return found.length > 0 ? found : undefined;
        });
        sizes.push(batch.length);
        all.push(...batch);
      }
      assert.ok(Math.max(...sizes) <= 3, `batches of ${sizes.join(', ')}`);
      assert.deepEqual(texts(all), keys);
    });

    check('a batch stays within bytesMax, but a record larger than that comes alone', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const sizes = [400, 400, 5000, 400];
      await logs[0].append(
        sizes.map((size, i) => record(`k${i}`, Buffer.alloc(size, i))),
        never,
      );
      await readCount(logs[0], undefined, 4);
      let position: Position | undefined;
      const seen: number[] = [];
      while (seen.length < 4) {
        const batch = await eventually('the next batch', async () => {
          const found = await logs[0].read(position, { recordsMax: 100, bytesMax: 1000 }, never);
          return found.length > 0 ? found : undefined;
        });
        const bytes = batch.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
        assert.ok(bytes <= 1000 || batch.length === 1, `${batch.length} records of ${bytes} bytes`);
        seen.push(...batch.map(({ value }) => value?.length ?? 0));
        position = batch.at(-1)?.position;
      }
      assert.deepEqual(seen, sizes);
    });

    check('values are bytes: every byte, none at all, and a value of the largest size', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const every = Uint8Array.from({ length: 512 }, (_, i) => i);
      const largest = new Uint8Array(logs[0].recordBytesMax - 'largest'.length).fill(0xab);
      await logs[0].append([record('every', every), record('empty', new Uint8Array()), record('largest', largest)], never);
      const [first, second, third] = await readCount(logs[0], undefined, 3);
      // Not deepEqual: its message about a megabyte of differences takes minutes.
      assert.equal(Buffer.compare(first?.value ?? Buffer.alloc(0), every), 0);
      assert.equal(second?.value?.length, 0);
      assert.equal(Buffer.compare(third?.value ?? Buffer.alloc(0), largest), 0);
    });

    check('the bytes are copied: what the caller does with its buffer afterwards changes nothing', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const value = Buffer.from('before');
      await logs[0].append([record('a', value)], never);
      value.write('after!');
      assert.deepEqual(texts(await readCount(logs[0], undefined, 1)), ['before']);
    });

    check('keys and headers may hold any characters, and keys 600 bytes', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const keys = [
        'document/ordner/größe 100 %.json',
        'document/f/名前 "\'?#&+.json',
        'document/f/e\u0301.json',
        'document/f/\u00e9.json',
        `document/${'ü'.repeat(300)}`,
        'workspace/😀',
      ];
      const headers = { 'content-type': 'application/json; charset=UTF-8', empty: '', other: 'größe "😀"' };
      await logs[0].append(
        keys.map((key) => record(key, 'v', headers)),
        never,
      );
      const read = await readCount(logs[0], undefined, keys.length);
      assert.deepEqual(
        read.map(({ key }) => key),
        keys,
      );
      for (const one of read) assert.deepEqual({ ...one.headers }, headers);
    });

    check('for one key the order is the order of appending, and the newest value is there', async (t) => {
      const { logs } = await arrange(t, ['a']);
      for (let i = 0; i < 20; i++) await logs[0].append([record('k', String(i)), record(`other${i}`)], never);
      const read = (await readToEnd(logs[0])).filter(({ key }) => key === 'k').map((one) => Number(text(one)));
      assert.deepEqual(
        read,
        read.toSorted((a, b) => a - b),
      );
      assert.equal(read.at(-1), 19);
      if (setup.compactsAtAppend) assert.deepEqual(read, [19]);
    });

    check('records of two writers at once are all there, each writer’s in its order', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      const write = async (log: Log, writer: string) => {
        for (let i = 0; i < 25; i++)
          await log.append([record(`${writer}/${i}/x`), record(`${writer}/${i}/y`), record('both', `${writer}${i}`)], never);
      };
      await Promise.all([write(logs[0], 'a'), write(logs[1], 'b')]);
      const read = await readToEnd(logs[0]);
      for (const writer of ['a', 'b']) {
        const mine = read.filter(({ key }) => key.startsWith(`${writer}/`)).map(({ key }) => key);
        assert.deepEqual(mine, Array.from({ length: 25 }, (_, i) => [`${writer}/${i}/x`, `${writer}/${i}/y`]).flat());
      }
      assert.match(text(read.findLast(({ key }) => key === 'both') as ReadRecord) ?? '', /^[ab]24$/);
      assert.deepEqual(texts(await readToEnd(logs[1])), texts(read));
    });

    check('a reader that follows a writer misses nothing', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      const keys = Array.from({ length: 100 }, (_, i) => `k${i}`);
      const writing = (async () => {
        for (const key of keys) await logs[0].append([record(key)], never);
      })();
      const read = await readCount(logs[1], undefined, keys.length, { recordsMax: 7, bytesMax: 1 << 20 });
      await writing;
      assert.deepEqual(texts(read), keys);
    });

    check('[] is the end: a reader that goes on until [] has read all that others could see before', async (t) => {
      const { logs, open } = await arrange(t, ['a', 'b']);
      const keys = Array.from({ length: 3000 }, (_, i) => `k${i}`);
      await logs[0].append(
        keys.map((key) => record(key)),
        never,
      );
      await readCount(logs[1], undefined, keys.length);
      const late = await open('late');
      const read: string[] = [];
      for (let batch = await late.read(undefined, { recordsMax: 50, bytesMax: 1 << 20 }, never); batch.length > 0;) {
        read.push(...batch.map(({ key }) => key));
        batch = await late.read(batch.at(-1)?.position, { recordsMax: 50, bytesMax: 1 << 20 }, never);
      }
      assert.deepEqual(read, keys);
    });

    check('appending nothing is fine', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([], never);
      assert.deepEqual(await readToEnd(logs[0]), []);
    });

    check('what was appended is there after every handle was closed, and positions still hold', async (t) => {
      const { shared, open } = await arrange(t, []);
      const first = await shared.open('a');
      await first.append([record('a'), record('b')], never);
      const [a] = await readCount(first, undefined, 2);
      const identity = await first.identity(never);
      await first[Symbol.asyncDispose]();
      const again = await open('a');
      assert.deepEqual(texts(await readCount(again, a?.position, 1)), ['b']);
      assert.deepEqual(texts(await readCount(again, undefined, 2)), ['a', 'b']);
      assert.equal(await again.identity(never), identity);
    });

    check('closing one handle leaves the others at work, and closing twice is fine', async (t) => {
      const { shared, logs } = await arrange(t, ['a']);
      const other = await shared.open('b');
      await other.append([record('a')], never);
      await other[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      await logs[0].append([record('b')], never);
      assert.deepEqual(texts(await readCount(logs[0], undefined, 2)), ['a', 'b']);
    });

    check('a closed handle refuses to work', async (t) => {
      const { shared } = await arrange(t, []);
      const log = await shared.open('a');
      await log[Symbol.asyncDispose]();
      await assert.rejects(log.append([record('a')], never));
      await assert.rejects(log.read(undefined, unlimited, never));
    });

    check('an append that is repeated ends in the same newest values', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const records = [record('part/k/0', 'p0'), record('part/k/1', 'p1'), record('k', 'v')];
      await logs[0].append(records, never);
      await logs[0].append(records, never);
      const newest = new Map((await readToEnd(logs[0])).map((read) => [read.key, text(read)]));
      assert.deepEqual(Object.fromEntries(newest), { 'part/k/0': 'p0', 'part/k/1': 'p1', k: 'v' });
    });

    check('after a null value the older ones of its key are not the last word, and other keys stay', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('gone', 'v1'), record('stays', 'v1')], never);
      await logs[0].append([record('gone', null), record('never-there', null)], never);
      const read = await readToEnd(logs[0]);
      assert.equal(read.findLast(({ key }) => key === 'gone')?.value ?? null, null);
      assert.equal(text(read.findLast(({ key }) => key === 'stays') as ReadRecord), 'v1');
      if (setup.compactsAtAppend) assert.deepEqual(texts(read), ['v1']);
    });

    check('a key is written again after its null value', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('k', 'v1'), record('k', null), record('k', 'v2')], never);
      assert.equal(text((await readToEnd(logs[0])).at(-1) as ReadRecord), 'v2');
    });

    check('the position of a record that was superseded still serves', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('k', 'v1')], never);
      const [first] = await readCount(logs[0], undefined, 1);
      await logs[0].append([record('k', null), record('k', 'v2')], never);
      const after = await readUntil(logs[0], first?.position, (all) => all.at(-1) !== undefined && text(all.at(-1) as ReadRecord) === 'v2');
      assert.equal(text(after.at(-1) as ReadRecord), 'v2');
      assert.ok((await logs[0].end(first?.position, never)).records >= 1);
    });

    check('end counts what lies after a position, and is nothing at the end', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      const before = Date.now();
      await logs[0].append(
        Array.from({ length: 10 }, (_, i) => record(`k${i}`)),
        never,
      );
      const read = await readCount(logs[1], undefined, 10);
      const all = await eventually('end to count all', async () => {
        const end = await logs[1].end(undefined, never);
        return end.records >= 10 ? end : undefined;
      });
      assert.ok(all.oldestTime === undefined || Math.abs(all.oldestTime - before) < 60_000 + setup.deadlineMs);
      const half = await logs[1].end(read[4]?.position, never);
      assert.ok(half.records >= 5 && half.records < all.records, `${half.records} of ${all.records}`);
      await eventually('end to be 0', async () => {
        const end = await logs[1].end(read[9]?.position, never);
        return end.records === 0 && end.oldestTime === undefined ? true : undefined;
      });
    });

    check('end is never 0 while another handle’s record waits', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      await logs[0].append([record('a')], never);
      const [first] = await readCount(logs[1], undefined, 1);
      await logs[0].append([record('b')], never);
      await eventually('end to see the second record', async () =>
        (await logs[1].end(first?.position, never)).records > 0 ? true : undefined,
      );
    });

    check('a record over the limit is refused, and nothing of its append is sent', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const tooLarge = record('large', new Uint8Array(logs[0].recordBytesMax));
      await rejects(logs[0].append([record('small'), tooLarge, record('small2')], never), 'record_too_large');
      assert.deepEqual(await readToEnd(logs[0]), []);
    });

    check('a signal that has aborted stops every method, and the log works on', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('a')], never);
      const [first] = await readCount(logs[0], undefined, 1);
      const aborted = AbortSignal.abort();
      await rejects(logs[0].append([record('not')], aborted), 'aborted');
      await rejects(logs[0].read(undefined, unlimited, aborted), 'aborted');
      await rejects(logs[0].end(undefined, aborted), 'aborted');
      await rejects(logs[0].report(first?.position as Position, aborted), 'aborted');
      await rejects(logs[0].identity(aborted), 'aborted');
      for await (const _ of logs[0].hints(aborted)) assert.fail('a hint after the abort');
      assert.deepEqual(texts(await readToEnd(logs[0])), ['a']);
    });

    check('after each append of another handle there is a hint', async (t) => {
      const { logs } = await arrange(t, ['a', 'b']);
      const stop = new AbortController();
      t.after(() => stop.abort());
      const hints = logs[1].hints(stop.signal)[Symbol.asyncIterator]();
      const timeout = AbortSignal.timeout(setup.deadlineMs * 2);
      const expired = new Promise<never>((_, reject) =>
        timeout.addEventListener('abort', () => reject(new Error('no hint')), { once: true }),
      );
      let position: Position | undefined;
      for (let i = 0; i < 10; i++) {
        await logs[0].append([record(`k${i}`)], never);
        for (let found: readonly ReadRecord[] = []; found.length === 0;) {
          await Promise.race([hints.next(), expired]);
          found = await logs[1].read(position, unlimited, never);
          position = found.at(-1)?.position ?? position;
        }
      }
    });

    check('hints do not rush by while nothing happens', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const stop = new AbortController();
      t.after(() => stop.abort());
      await logs[0].append([record('a')], never);
      let count = 0;
      const counting = (async () => {
        for await (const _ of logs[0].hints(stop.signal)) count += 1;
      })();
      await eventually('a first hint', async () => (count > 0 ? true : undefined));
      await pause(500);
      stop.abort();
      await counting;
      assert.ok(count < 20, `${count} hints in half a second of quiet`);
    });

    check('hints end when their signal aborts, waiting or not', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const stop = new AbortController();
      const watching = (async () => {
        for await (const _ of logs[0].hints(stop.signal)) if (!stop.signal.aborted) setImmediate(() => stop.abort());
      })();
      await Promise.race([watching, pause(setup.deadlineMs, undefined, { ref: false }).then(() => assert.fail('hints did not end'))]);
    });

    check('everybody sees one identity, also those who come first together', async (t) => {
      const { shared, open } = await arrange(t, []);
      const logs = await Promise.all(['a', 'b', 'c', 'd'].map((replica) => open(replica)));
      const identities = await Promise.all(logs.map((log) => log.identity(never)));
      assert.equal(new Set(identities).size, 1);
      assert.match(identities[0] ?? '', /^.{8,}$/);
      await using later = await shared.open('e');
      assert.equal(await later.identity(never), identities[0]);
      assert.deepEqual(await readToEnd(later), []);
    });

    check('a checkpoint is reported, twice and backwards too', async (t) => {
      const { logs } = await arrange(t, ['a']);
      await logs[0].append([record('a'), record('b')], never);
      const [first, second] = await readCount(logs[0], undefined, 2);
      for (const one of [second, second, first]) await logs[0].report(one?.position as Position, never);
      assert.deepEqual(texts(await readCount(logs[0], first?.position, 1)), ['b']);
    });

    check('a position of another log is recognised', async (t) => {
      const { logs } = await arrange(t, ['a']);
      const { logs: others } = await arrange(t, ['a']);
      assert.notEqual(await logs[0].identity(never), await others[0].identity(never));
      for (const log of [...logs, ...others]) await log.append([record('a'), record('b')], never);
      const [foreign] = await readCount(others[0], undefined, 2);
      await rejects(logs[0].read(foreign?.position, unlimited, never), 'log_recreated');
      await rejects(logs[0].end(foreign?.position, never), 'log_recreated');
    });

    check('a log that was deleted and made anew is recognised by handles that were open', async (t) => {
      const { shared, logs, open } = await arrange(t, ['a']);
      if (typeof shared.recreate !== 'function') return t.skip(shared.recreate.cannot);
      await logs[0].append([record('old1'), record('old2')], never);
      const [first] = await readCount(logs[0], undefined, 2);
      const before = await logs[0].identity(never);
      await shared.recreate();
      await eventuallyRejects('log_recreated', () => logs[0].read(first?.position, unlimited, never), 'log_recreated');
      await eventuallyRejects('log_recreated', () => logs[0].end(first?.position, never), 'log_recreated');
      const after = await eventually('an identity', () => logs[0].identity(never));
      assert.notEqual(after, before);
      await logs[0].append([record('new')], never);
      assert.deepEqual(texts(await readCount(logs[0], undefined, 1)), ['new']);
      const late = await open('b');
      assert.equal(await late.identity(never), after);
      assert.deepEqual(texts(await readCount(late, undefined, 1)), ['new']);
    });

    check('an append through an open handle to a log that was made anew is in it, or is rejected', async (t) => {
      const { shared, logs, open } = await arrange(t, ['a']);
      if (typeof shared.recreate !== 'function') return t.skip(shared.recreate.cannot);
      await logs[0].append([record('old')], never);
      await shared.recreate();
      await eventually('the append', () => logs[0].append([record('new')], never).then(() => true));
      const late = await open('b');
      assert.deepEqual(texts(await readCount(late, undefined, 1)), ['new']);
    });

    check('a position before the first record that is left has expired, and reading from the start goes on', async (t) => {
      const { shared, logs } = await arrange(t, ['a']);
      if (typeof shared.truncate !== 'function') return t.skip(shared.truncate.cannot);
      await logs[0].append(
        Array.from({ length: 10 }, (_, i) => record(`k${i}`)),
        never,
      );
      const [first] = await readCount(logs[0], undefined, 10);
      const identity = await logs[0].identity(never);
      await shared.truncate();
      await eventuallyRejects('position_expired', () => logs[0].read(first?.position, unlimited, never), 'position_expired');
      await eventuallyRejects('position_expired', () => logs[0].end(first?.position, never), 'position_expired');
      assert.equal(await logs[0].identity(never), identity);
      await logs[0].append([record('after')], never);
      const read = (await readUntil(logs[0], undefined, (all) => all.at(-1)?.key === 'after')).filter((one) => !isFiller(one));
      assert.ok(!read.some(({ key }) => key === 'k0' || key === 'k1'));
    });

    check('a log that lost its tail is recognised by whoever had read it, also where it has grown again since', async (t) => {
      const { shared, logs, open } = await arrange(t, ['a', 'b']);
      if (typeof shared.loseTail !== 'function') return t.skip(shared.loseTail.cannot);
      for (let i = 0; i < 8; i++) await logs[0].append([record(`k${i}`)], never);
      const read = await readCount(logs[0], undefined, 8);
      await readCount(logs[1], undefined, 8);
      const [kept, first, last] = [read[4]?.position, read[5]?.position, read[7]?.position];
      const identity = await logs[0].identity(never);
      await shared.loseTail(5);
      await eventuallyRejects('log_tail_lost', () => logs[0].read(last, unlimited, never), 'log_tail_lost');
      const other = await open('other');
      for (let i = 0; i < 10; i++) await eventually('an append', () => other.append([record(`new${i}`)], never).then(() => true));
      const late = await open('late');
      for (const log of [...logs, other, late])
        for (const position of [first, last]) {
          await eventuallyRejects('log_tail_lost', () => log.read(position, unlimited, never), 'log_tail_lost');
          await eventuallyRejects('log_tail_lost', () => log.end(position, never), 'log_tail_lost');
        }
      const added = Array.from({ length: 10 }, (_, i) => `new${i}`);
      for (const log of [logs[0], late]) {
        const all = await readUntil(log, undefined, (found) => found.at(-1)?.key === 'new9');
        assert.deepEqual(
          all.map(({ key }) => key),
          ['k0', 'k1', 'k2', 'k3', 'k4', ...added],
        );
        assert.deepEqual(texts(await readUntil(log, kept, (found) => found.at(-1)?.key === 'new9')), added);
        assert.equal((await log.end(all.at(-1)?.position, never)).records, 0);
        assert.equal(await log.identity(never), identity);
      }
    });
  });
}
