// A log that waits where the agent's attempt would: what may pass is tried again, with growing pauses.
import { isDocbusError } from '@docbus/core';
import type { Log } from '@docbus/log/port.ts';
import { nextPauseMs, type Clock } from '@docbus/runtime';

export type PatientOptions = {
  readonly clock: Clock;
  /** false: a few times, and only what may pass by itself. true: for ever, also what a person has to mend. */
  readonly forEver: boolean;
  readonly onProblem: (message: string) => void;
};

const TRIES = 6;

/** Everything else is as `log` has it. Disposes of it. */
export function createPatientLog(log: Log, { clock, forEver, onProblem }: PatientOptions): Log {
  const patiently = async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        const mayPass = isDocbusError(error) && (error.remedy === 'retry' || (forEver && error.remedy === 'wait'));
        if (!mayPass || signal.aborted || (!forEver && tries === TRIES)) throw error;
        onProblem(error.message);
        await clock.sleep(nextPauseMs(tries, clock), signal).catch(() => undefined); // aborted: the next try says so
      }
    }
  };
  return {
    name: log.name,
    recordBytesMax: log.recordBytesMax,
    append: (records, signal) => patiently(() => log.append(records, signal), signal),
    read: (after, limits, signal) => patiently(() => log.read(after, limits, signal), signal),
    end: (after, signal) => patiently(() => log.end(after, signal), signal),
    report: (position, signal) => patiently(() => log.report(position, signal), signal),
    hints: (signal) => log.hints(signal),
    identity: (signal) => patiently(() => log.identity(signal), signal),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}
