// What the drivers of brokers share: work with a time limit that counts from the last sign of life, and one piece of work at a time.
import { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';

/**
 * Runs work on a connection. Rejects when the signal aborts or when `deadlineMs` passed without a call of `alive`; the work itself may
 * go on for ever then, so whatever it changes afterwards must not matter. Every rejection has gone through `fail`.
 */
export type Run = <T>(what: string, deadlineMs: number, work: (alive: () => void) => Promise<T>, signal: AbortSignal) => Promise<T>;

export type RunOptions = {
  readonly clock: Clock;
  /** for messages: the product and where it is */
  readonly name: string;
  /** Gives up the connection and returns what is thrown. */
  readonly fail: (error: unknown) => DocbusError;
};

export function createRun({ clock, name, fail }: RunOptions): Run {
  return async (what, deadlineMs, work, signal) => {
    const settled = new AbortController();
    const aborted = Promise.withResolvers<never>();
    const abort = (): void => aborted.reject(abortedWork(name, signal));
    let lastSign = clock.now();
    const late = async (): Promise<never> => {
      for (let left = deadlineMs; left > 0; left = lastSign + deadlineMs - clock.now()) await clock.sleep(left, settled.signal);
      throw new DocbusError(
        'log_unreachable',
        `${name} is connected but did not answer within ${deadlineMs} ms (${what}). Look whether the broker is frozen or overloaded.`,
      );
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { signal: settled.signal });
    const alive = (): void => {
      lastSign = clock.now();
    };
    try {
      return await Promise.race([aborted.promise, work(alive), late()]);
    } catch (error) {
      throw fail(error);
    } finally {
      settled.abort();
    }
  };
}

/** Runs pieces of work one after another, in the order of the calls. A signal that aborts while its work waits for its turn is honoured. */
export type Turns = <T>(signal: AbortSignal, work: () => Promise<T>) => Promise<T>;

export function createTurns(name: string): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return async (signal, work) => {
    const before = last;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    last = Promise.all([before, done]);
    try {
      await orAborted(before, name, signal);
      return await work();
    } finally {
      finish();
    }
  };
}

async function orAborted(before: Promise<unknown>, name: string, signal: AbortSignal): Promise<void> {
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const abort = (): void => resolve();
  signal.addEventListener('abort', abort, { once: true });
  if (!signal.aborted) await Promise.race([before, aborted]);
  signal.removeEventListener('abort', abort);
  if (signal.aborted) throw abortedWork(name, signal);
}

function abortedWork(name: string, signal: AbortSignal): DocbusError {
  return new DocbusError('aborted', `Work on ${name} was stopped.`, { cause: signal.reason });
}
