// What a broker's log must stand, whatever the product: killed, frozen, cut off. Acknowledged records are never lost and never change
// their order; nothing hangs; reading goes on where it was. Each fault is shown to have happened.
import { describe, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { isDocbusError } from '@docbus/core';
import type { Log, LogRecord, Position, ReadRecord } from '@docbus/log/port.ts';
import { systemClock, type Clock } from '@docbus/runtime/clock.ts';
import type { TcpProxy } from '../servers/proxy.ts';

export type FaultedBroker = {
  readonly server: { kill(signal: NodeJS.Signals): Promise<void>; restart(): Promise<void> };
  /** every handle's connections go through it */
  readonly proxy: TcpProxy;
  open(log: string, replica: string, clock: Clock): Promise<Log>;
};

const never = new AbortController().signal;
const limits = { recordsMax: 100, bytesMax: 1 << 20 };
const record = (key: string): LogRecord => ({ key, value: Buffer.from(key), headers: {} });
const PATIENCE_MS = 60_000;

/** A clock on which time limits pass thirty times as fast as people wait. */
const hurried: Clock = {
  ...systemClock,
  now: () => systemClock.now() * 30,
  sleep: async (ms, signal) => await systemClock.sleep(ms / 30, signal),
};

export function brokerFaults(name: string, broker: () => FaultedBroker): void {
  let count = 0;
  async function arrange(t: TestContext, clock: Clock = systemClock) {
    const stack = new AsyncDisposableStack();
    t.after(() => stack.disposeAsync());
    const log = `faults-${process.pid}-${(count += 1)}`;
    const open = async (replica: string) => stack.use(await broker().open(log, replica, clock));
    return { stack, open, writer: await open('writer'), reader: await open('reader') };
  }

  /** Repeats what may pass, as an agent does, and counts how often it had to. */
  async function persist<T>(work: () => Promise<T>, failures: Error[] = []): Promise<T> {
    for (const deadline = performance.now() + PATIENCE_MS; ; await pause(50)) {
      try {
        return await work();
      } catch (error) {
        if (!isDocbusError(error, 'log_unreachable', 'log_busy') || performance.now() > deadline) throw error;
        failures.push(error);
      }
    }
  }

  /** A writer and a reader at work until `stop`, both as stubborn as an agent. */
  function start(t: TestContext, { writer, reader }: { readonly writer: Log; readonly reader: Log }) {
    const stop = new AbortController();
    t.after(() => stop.abort());
    const acknowledged: string[] = [];
    const read: ReadRecord[] = [];
    const failures: Error[] = [];
    const write = async (): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        const batch = Array.from({ length: 5 }, (_, n) => `k${i}.${n}`);
        await persist(() => writer.append(batch.map(record), never), failures);
        acknowledged.push(...batch);
        await pause(2);
      }
    };
    const follow = async (): Promise<void> => {
      while (!stop.signal.aborted) read.push(...(await readOn(reader, read.at(-1)?.position, failures)));
    };
    const work = Promise.all([write(), follow()]);
    const until = async (what: string, condition: () => boolean): Promise<void> => {
      for (const deadline = performance.now() + PATIENCE_MS; !condition(); await pause(10)) {
        if (performance.now() > deadline)
          throw new Error(`not within ${PATIENCE_MS} ms: ${what} (appended ${acknowledged.length}, read ${read.length})`, {
            cause: failures.at(-1),
          });
        await Promise.race([work, pause(0)]); // a failure of either ends the waiting
      }
    };
    const end = async (): Promise<void> => {
      stop.abort();
      await work;
    };
    return { acknowledged, read, failures, until, end };
  }
  const readOn = async (log: Log, after: Position | undefined, failures: Error[]) => {
    const batch = await persist(() => log.read(after, limits, never), failures);
    if (batch.length === 0) await pause(10);
    return batch;
  };

  /** Reads the whole log with a handle and compares: everything acknowledged is there, in the order in which it was appended. */
  async function verify(log: Log, acknowledged: readonly string[], already: readonly ReadRecord[] = []): Promise<void> {
    const all = [...already];
    const missing = new Set(acknowledged);
    for (const { key } of all) missing.delete(key);
    for (const deadline = performance.now() + PATIENCE_MS; ;) {
      const batch = await readOn(log, all.at(-1)?.position, []);
      all.push(...batch);
      for (const { key } of batch) missing.delete(key);
      if (missing.size === 0 || (batch.length === 0 && performance.now() > deadline)) break;
    }
    assert.deepEqual([...missing], [], 'acknowledged, but not in the log');
    const firsts = [...new Set(all.map(({ key }) => key))];
    const known = new Set(acknowledged);
    assert.deepEqual(
      firsts.filter((key) => known.has(key)),
      acknowledged,
      'the order of first appearances is the order of appending',
    );
  }

  describe(`faults of ${name}`, () => {
    test('killed and started again while records are appended and read: nothing acknowledged is lost', async (t) => {
      const { writer, reader, open } = await arrange(t);
      const work = start(t, { writer, reader });
      for (let round = 0; round < 2; round++) {
        const before = work.acknowledged.length;
        await work.until('some appends', () => work.acknowledged.length > before + 50);
        await broker().server.kill('SIGKILL');
        const failed = work.failures.length;
        await work.until('the kill to be felt', () => work.failures.length > failed);
        await broker().server.restart();
        const after = work.acknowledged.length;
        await work.until(
          'appends and reads to go on',
          () => work.acknowledged.length > after + 50 && work.read.at(-1)?.key === work.acknowledged.at(-1),
        );
      }
      await work.end();
      await verify(reader, work.acknowledged, work.read);
      await verify(await open('late'), work.acknowledged);
    });

    test('connections that are cut again and again lose nothing', async (t) => {
      const { writer, reader, open } = await arrange(t);
      const work = start(t, { writer, reader });
      for (let round = 0; round < 15; round++) {
        const before = work.acknowledged.length;
        await work.until('some appends', () => work.acknowledged.length > before + 10);
        assert.ok(broker().proxy.cut() > 0);
      }
      const before = work.acknowledged.length;
      await work.until('appends to go on', () => work.acknowledged.length > before + 10);
      await work.end();
      await verify(reader, work.acknowledged, work.read);
      await verify(await open('late'), work.acknowledged);
    });

    test('frozen for a while: work goes on by itself when it thaws', async (t) => {
      const { writer, reader } = await arrange(t);
      const work = start(t, { writer, reader });
      await work.until('some appends', () => work.acknowledged.length > 20);
      await broker().server.kill('SIGSTOP');
      t.after(() => broker().server.kill('SIGCONT'));
      await pause(300); // what was on its way
      const before = work.acknowledged.length;
      await pause(3_000);
      assert.equal(work.acknowledged.length, before, 'a frozen broker acknowledges nothing');
      await broker().server.kill('SIGCONT');
      await work.until('appends to go on', () => work.acknowledged.length > before + 50);
      await work.end();
      await verify(reader, work.acknowledged, work.read);
    });

    test('frozen for good: every call ends with log_unreachable, an abort ends it at once, and so does closing', async (t) => {
      const { writer, reader, open } = await arrange(t, hurried);
      await writer.append([record('a')], never);
      const [first] = await reader.read(undefined, limits, never);
      const third = await open('third');
      await third.identity(never);
      await broker().server.kill('SIGSTOP');
      t.after(() => broker().server.kill('SIGCONT'));
      const stop = AbortSignal.timeout(300);
      const started = performance.now();
      await assert.rejects(third.append([record('never')], stop), (error) => isDocbusError(error, 'aborted'));
      assert.ok(performance.now() - started < 1_000);
      const calls = [writer.append([record('b')], never), reader.read(first?.position, limits, never), reader.end(first?.position, never)];
      for (const call of await Promise.allSettled(calls))
        assert.ok(call.status === 'rejected' && isDocbusError(call.reason, 'log_unreachable'), JSON.stringify(call));
      const pending = writer.append([record('c')], never);
      const closing = performance.now();
      await Promise.all([writer[Symbol.asyncDispose](), assert.rejects(pending, (error) => isDocbusError(error, 'aborted'))]);
      assert.ok(performance.now() - closing < 1_000);
      await broker().server.kill('SIGCONT');
      assert.deepEqual((await persist(() => reader.read(undefined, limits, never)))[0]?.key, 'a');
    });

    test('not there at all: each call says so quickly, and works when it comes', async (t) => {
      const { writer, reader } = await arrange(t);
      broker().proxy.refuse(true);
      t.after(() => broker().proxy.refuse(false));
      broker().proxy.cut();
      for (const call of [
        () => writer.append([record('a')], never),
        () => reader.read(undefined, limits, never),
        () => reader.identity(never),
      ])
        await assert.rejects(call, (error) => isDocbusError(error, 'log_unreachable') && /127\.0\.0\.1/.test(error.message));
      broker().proxy.refuse(false);
      await persist(() => writer.append([record('a')], never));
      assert.equal((await persist(() => reader.read(undefined, limits, never)))[0]?.key, 'a');
    });

    test('hints survive a cut connection', async (t) => {
      const { writer, reader } = await arrange(t);
      const stop = new AbortController();
      t.after(() => stop.abort());
      let position: Position | undefined;
      const seen: string[] = [];
      const watching = (async () => {
        for await (const _ of reader.hints(stop.signal)) {
          const batch = await persist(() => reader.read(position, limits, never));
          position = batch.at(-1)?.position ?? position;
          seen.push(...batch.map(({ key }) => key));
        }
      })();
      for (const key of ['before', 'after']) {
        await persist(() => writer.append([record(key)], never));
        for (const deadline = performance.now() + 20_000; !seen.includes(key); await pause(10))
          assert.ok(performance.now() < deadline, `no hint ${key} the cut`);
        broker().proxy.cut();
      }
      stop.abort();
      await watching;
    });
  });
}
