// Reads the log beside the agents and keeps every change that was ever in it, whatever compaction makes of it since.
import { isDocbusError, type Change } from '@docbus/core';
import { decodeRecord, openLog, type Position } from '@docbus/log';
import { systemClock } from '@docbus/runtime/clock.ts';

export type Published = { readonly change: Change; readonly at: number };

export type Follower = {
  readonly changes: readonly Published[];
  /** Follows until the signal aborts. */
  follow(signal: AbortSignal): Promise<void>;
  /** Reads what is left. */
  finish(signal: AbortSignal): Promise<void>;
};

const EVERY_MS = 100;

export function createFollower(url: string): Follower {
  const changes: Published[] = [];
  let position: Position | undefined;

  /** Until there is nothing more. */
  const catchUp = async (log: Awaited<ReturnType<typeof openLog>>, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const records = await log.read(position, { recordsMax: 1_000, bytesMax: 16 << 20 }, signal);
      for (const record of records) {
        position = record.position;
        const decoded = decodeRecord(record);
        if (decoded.type === 'change') changes.push({ change: decoded.change, at: Date.now() });
      }
      if (records.length === 0) return;
    }
  };
  const withLog = async (work: (log: Awaited<ReturnType<typeof openLog>>) => Promise<void>, signal: AbortSignal): Promise<void> => {
    await using log = await openLog(url, { replica: 'faults-test', clock: systemClock }, signal);
    await work(log);
  };
  return {
    changes,
    follow: async (signal) =>
      await withLog(async (log) => {
        while (!signal.aborted) {
          try {
            await catchUp(log, signal);
          } catch (error) {
            if (!isDocbusError(error)) throw error; // it has the same faults as everybody
          }
          await systemClock.sleep(EVERY_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
        }
      }, signal),
    finish: async (signal) => await withLog(async (log) => await catchUp(log, signal), signal),
  };
}
