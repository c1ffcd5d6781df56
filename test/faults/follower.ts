// Reads the log beside the agents and keeps every change that was ever in it, whatever compaction makes of it since.
import { formatVersion, isDocbusError, type Change } from '@docbus/core';
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
/** A broker that was started again just now may not have its log at hand yet. */
const PATIENCE_MS = 90_000;

export function createFollower(url: string): Follower {
  const changes: Published[] = [];
  let position: Position | undefined;
  /** a log that lost its tail is read again from the start, and gets back what it lost */
  const seen = new Set<string>();

  /** Until there is nothing more. */
  const catchUp = async (log: Awaited<ReturnType<typeof openLog>>, signal: AbortSignal): Promise<void> => {
    for (;;) {
      const records = await log.read(position, { recordsMax: 1_000, bytesMax: 16 << 20 }, signal);
      for (const record of records) {
        position = record.position;
        const decoded = decodeRecord(record);
        if (decoded.type !== 'change') continue;
        const { key, version, hash } = decoded.change;
        const id = `${key} ${formatVersion(version)} ${hash}`;
        if (!seen.has(id)) changes.push({ change: decoded.change, at: Date.now() });
        seen.add(id);
      }
      if (records.length === 0) return;
    }
  };
  const withLog = async (work: (log: Awaited<ReturnType<typeof openLog>>) => Promise<void>, signal: AbortSignal): Promise<void> => {
    await using log = await openLog(url, { replica: 'faults-test', clock: systemClock }, signal);
    await work(log);
  };
  /** It has the same faults as everybody. */
  const endure = (error: unknown): void => {
    if (!isDocbusError(error)) throw error;
    if (error.remedy === 'bootstrap') position = undefined;
  };
  return {
    changes,
    follow: async (signal) =>
      await withLog(async (log) => {
        while (!signal.aborted) {
          await catchUp(log, signal).catch(endure);
          await systemClock.sleep(EVERY_MS, signal).catch(() => undefined); // aborted: the loop's condition ends it
        }
      }, signal),
    finish: async (signal) => {
      for (const deadline = Date.now() + PATIENCE_MS; ;)
        try {
          return await withLog(async (log) => await catchUp(log, signal), signal);
        } catch (error) {
          if (signal.aborted || Date.now() > deadline) throw error;
          endure(error);
          await systemClock.sleep(1_000, signal);
        }
    },
  };
}
