// A log that is opened when it is first needed: an agent starts, answers its health checks and keeps trying while the broker is away.
import type { Log, Position } from '@docbus/log/port.ts';
import { isDocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime';

const REOPEN_MS = 1000;

/** Each method opens the log if it is not open yet, and rejects as opening does. */
export function createLateLog(name: string, open: () => Promise<Log>, clock: Clock): Log {
  let opened: Log | undefined;
  let opening: Promise<Log> | undefined;
  const get = async (): Promise<Log> => {
    if (opened !== undefined) return opened;
    opening ??= open();
    try {
      return (opened = await opening);
    } finally {
      opening = undefined;
    }
  };
  return {
    name,
    get recordBytesMax() {
      return opened?.recordBytesMax ?? Infinity;
    },
    append: async (records, signal) => (await get()).append(records, signal),
    read: async (after, limits, signal) => (await get()).read(after, limits, signal),
    end: async (after, signal) => (await get()).end(after, signal),
    report: async (position: Position, signal) => (await get()).report(position, signal),
    identity: async (signal) => (await get()).identity(signal),
    async *hints(signal) {
      // A log that cannot be heard is looked at again and again: reads fail loudly by themselves.
      while (!signal.aborted) {
        try {
          if (opened !== undefined) yield* opened.hints(signal);
        } catch (error) {
          if (!isDocbusError(error)) throw error;
        }
        if (!signal.aborted) await clock.sleep(REOPEN_MS, signal).catch(() => {}); // aborted: the loop's condition ends it
        yield;
      }
    },
    async [Symbol.asyncDispose]() {
      await opened?.[Symbol.asyncDispose]();
    },
  };
}
