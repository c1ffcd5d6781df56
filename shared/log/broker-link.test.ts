import { test } from 'node:test';
import assert from 'node:assert/strict';
import { DocbusError, isDocbusError } from '@docbus/core';
import { systemClock, type Clock } from '@docbus/runtime/clock.ts';
import { createRun, createTurns } from './broker-link.ts';

const never = new AbortController().signal;
const forever = new Promise<never>(() => {});
/** A clock that only moves when somebody sleeps. */
function jumpingClock(): Clock {
  let now = 0;
  const sleep = async (ms: number, signal: AbortSignal) => {
    signal.throwIfAborted();
    now += ms;
  };
  return { ...systemClock, now: () => now, sleep };
}
function arrange(clock: Clock) {
  const failures: unknown[] = [];
  const fail = (error: unknown) => {
    failures.push(error);
    return isDocbusError(error) ? error : new DocbusError('log_unreachable', 'wrapped', { cause: error });
  };
  return { failures, run: createRun({ clock, name: 'the broker', fail }) };
}

test('work that ends in time is handed through, and nothing fails', async () => {
  const { run, failures } = arrange(systemClock);
  assert.equal(await run('thinking', 1000, async () => 42, never), 42);
  assert.deepEqual(failures, []);
});

test('work without a sign of life ends with log_unreachable that says what it was', async () => {
  const { run, failures } = arrange(jumpingClock());
  await assert.rejects(
    run('thinking', 1000, () => forever, never),
    (error) => isDocbusError(error, 'log_unreachable') && /the broker.*1000 ms \(thinking\)/.test(error.message),
  );
  assert.equal(failures.length, 1);
});

test('each sign of life starts the time limit anew', async () => {
  let now = 0;
  let signs = 0;
  let alive = (): void => {};
  // Before each of three nights' end the work gives a sign.
  const sleep = async (ms: number) => {
    if (signs < 3) {
      now += ms - 1;
      signs += 1;
      alive();
      now += 1;
    } else now += ms;
  };
  const { run } = arrange({ ...systemClock, now: () => now, sleep });
  const work = (sign: () => void): Promise<never> => {
    alive = sign;
    return forever;
  };
  await assert.rejects(run('thinking', 1000, work, never), (error) => isDocbusError(error, 'log_unreachable'));
  assert.equal(signs, 3);
  assert.equal(now, 1000 + 999 * 3);
});

test('an abort ends work at once, before it and during it', async () => {
  const { run, failures } = arrange(systemClock);
  await assert.rejects(
    run('thinking', 60_000, () => forever, AbortSignal.abort()),
    (error) => isDocbusError(error, 'aborted'),
  );
  const stop = new AbortController();
  const running = run('thinking', 60_000, () => forever, stop.signal);
  stop.abort();
  await assert.rejects(running, (error) => isDocbusError(error, 'aborted'));
  assert.equal(failures.length, 2);
});

test('turns are taken in the order of the calls, one after another, also after a failure', async () => {
  const turns = createTurns('the log');
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const calls = [
    turns(never, async () => {
      await first.promise;
      order.push('first');
      throw new Error('failed');
    }),
    turns(never, async () => void order.push('second')),
    turns(never, async () => void order.push('third')),
  ];
  first.resolve();
  const results = await Promise.allSettled(calls);
  assert.deepEqual(order, ['first', 'second', 'third']);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'fulfilled', 'fulfilled'],
  );
});

test('whoever waits for a turn and is aborted leaves at once, and the others keep their order', async () => {
  const turns = createTurns('the log');
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const stop = new AbortController();
  const one = turns(never, async () => {
    await first.promise;
    order.push('one');
  });
  const two = turns(stop.signal, async () => void order.push('two'));
  const three = turns(never, async () => void order.push('three'));
  stop.abort();
  await assert.rejects(two, (error) => isDocbusError(error, 'aborted'));
  assert.deepEqual(order, []);
  first.resolve();
  await Promise.all([one, three]);
  assert.deepEqual(order, ['one', 'three']);
});
