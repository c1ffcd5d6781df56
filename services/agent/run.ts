// The loop: one step at a time, for as long as the process is wanted. Hints only say when to look.
import { isDocbusError } from '@docbus/core';
import type { Log } from '@docbus/log/port.ts';
import type { Bell, Clock, Logger } from '@docbus/runtime';
import type { Agent } from './agent.ts';
import { createAttempt, type Attempt } from './attempt.ts';
import { watchChroma } from './chroma-watch.ts';
import type { Scope } from './context.ts';

export type Loop = {
  readonly publish: Attempt;
  readonly consume: Attempt;
  /** Runs between two steps, never beside one; for what people ask over HTTP. */
  command<T>(work: (signal: AbortSignal) => T | Promise<T>): Promise<T>;
  /** when the loop last began a turn, in milliseconds of the clock */
  turnedAt(): number;
  run(signal: AbortSignal): Promise<void>;
};

export type LoopOptions = {
  readonly agent: Agent;
  readonly log: Log;
  readonly hints: (signal: AbortSignal) => AsyncIterable<Scope>;
  readonly bell: Bell;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly sweepMs: number;
};

/** A turn without a hint, because some mounts send none: soon where something was found in the last minute, rarely at rest, where turns are all that an agent does. */
const POLL_MS = { busy: 1000, quiet: 3000 };
const QUIET_MS = 60_000;

export function createLoop(options: LoopOptions): Loop {
  const { agent, log, hints, bell, clock, logger, sweepMs } = options;
  const publish = createAttempt('publish', agent.publishOnce, options);
  const consume = createAttempt('consume', agent.consumeOnce, options);
  const commands: ((signal: AbortSignal) => Promise<void>)[] = [];
  let turnedAt = clock.now();
  let busyAt = turnedAt;
  let isStorageHinted = false;

  const turn = async (signal: AbortSignal): Promise<number> => {
    turnedAt = clock.now();
    for (const command of commands.splice(0)) await command(signal);
    // Somebody waits for what was hinted: an edit that was made here does not wait for a look at the log, nor the other way round.
    const [first, second] = isStorageHinted ? [publish, consume] : [consume, publish];
    isStorageHinted = false;
    const results = [await first.run(signal), await second.run(signal)];
    if (results.some(({ more }) => more)) {
      busyAt = clock.now();
      return 0;
    }
    const pollMs = clock.now() - busyAt < QUIET_MS ? POLL_MS.busy : POLL_MS.quiet;
    const wakeAt = Math.min(...results.map((result) => result.wakeAt ?? Infinity), clock.now() + pollMs);
    return Math.max(wakeAt - clock.now(), 1);
  };

  return {
    publish,
    consume,
    turnedAt: () => turnedAt,
    command: (work) =>
      new Promise((resolve, reject) => {
        commands.push(async (signal) => {
          try {
            resolve(await work(signal));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
            if (isDocbusError(error) && error.remedy === 'exit') throw error; // as in a step
          }
        });
        bell.ring();
      }),
    async run(stop) {
      // Whatever ends one of these ends them all: a loop that no longer hears hints would only seem to work.
      const ending = new AbortController();
      const signal = AbortSignal.any([stop, ending.signal]);
      let nextSweepAt = clock.now() + sweepMs;
      const steps = async (): Promise<void> => {
        while (!signal.aborted) {
          if (clock.now() >= nextSweepAt) {
            agent.hint({ sweep: true });
            nextSweepAt = clock.now() + sweepMs;
          }
          const pauseMs = await turn(signal);
          if (pauseMs === 0) await clock.sleep(0, signal); // lets requests and hints in
          else await bell.wait(pauseMs, signal);
        }
      };
      const listen = async (source: AsyncIterable<Scope | void>): Promise<void> => {
        for await (const scope of source) {
          if (scope !== undefined) {
            agent.hint(scope);
            isStorageHinted = true;
          }
          bell.ring();
        }
      };
      const ended = <T>(work: Promise<T>): Promise<T> => work.finally(() => ending.abort());
      const { vectors } = agent.context.replica;
      const results = await Promise.allSettled([
        ended(steps()),
        ended(listen(hints(signal))),
        ended(listen(log.hints(signal))),
        ended(watchChroma({ vectors, clock, logger }, signal)),
      ]);
      const failure = results.find((result) => result.status === 'rejected' && !(stop.aborted || result.reason === ending.signal.reason));
      if (failure?.status === 'rejected') throw failure.reason;
      if (!stop.aborted) logger.error({}, 'the loop ended by itself');
    },
  };
}
