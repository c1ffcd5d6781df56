// The agent of one replica: bounded steps over its ports. The loop (run.ts), the simulation and the tests call the same steps.
import type { Key } from '@docbus/core';
import { approveDeletions, dismissConflicts, retryQuarantined, revertDeletions, unreadable } from './commands.ts';
import { consumeOnce } from './consume.ts';
import { createState, type AgentOptions, type Context, type Scope } from './context.ts';
import { publishOnce, type StepResult } from './publish.ts';
import { startOver, type StartOverReason } from './start-over.ts';
import { markDirty } from './survey.ts';

export type Agent = {
  readonly context: Context;
  /** Notes where to look. */
  hint(scope: Scope): void;
  publishOnce(signal: AbortSignal): Promise<StepResult>;
  consumeOnce(signal: AbortSignal): Promise<StepResult>;
  /**
   * Forgets the checkpoint: the log is read from its first record again. Where the log is another one or has lost records, nothing of
   * what we know counts as being in it until it is met there; at its end, what was not met is appended.
   */
  startOver(reason: StartOverReason): void;
  /** Lets held deletions be published (all, or some keys), but not of documents that are still embedded. Returns how many. */
  approveDeletions(keys?: ReadonlySet<Key>): number;
  /** Puts back on disk what held deletions took away. Returns how many. */
  revertDeletions(keys: ReadonlySet<Key> | undefined, signal: AbortSignal): Promise<number>;
  /** Tries quarantined changes again (all, or some ids), and has the log read again for records that could not be read. Returns how many were applied or are read again. */
  retryQuarantined(ids: ReadonlySet<string> | undefined, signal: AbortSignal): Promise<number>;
  /** Takes conflicts off the list (all, or some ids), and with `withFiles` removes what was kept of them. Returns how many. */
  dismissConflicts(ids: ReadonlySet<string> | undefined, withFiles: boolean): number;
  /** Forgets records that could not be read (all, or some ids); never changes. Returns how many. */
  dropQuarantined(ids: ReadonlySet<string> | undefined): number;
};

export function createAgent(options: AgentOptions): Agent {
  const context: Context = { ...options, state: createState(options.clock) };
  const { manifest } = context;
  return {
    context,
    // Of the database the survey itself knows whether it changed, and whether in rows that are ours: each chat message is a hint, too.
    hint: (scope) => markDirty(context, { ...scope, records: false }),
    publishOnce: async (signal) => {
      try {
        return await publishOnce(context, signal);
      } catch (error) {
        // What it had found may be on no list any more: the next sweep looks at everything.
        context.state.swept = undefined;
        throw error;
      }
    },
    consumeOnce: (signal) => consumeOnce(context, signal),
    startOver: (reason) => startOver(context, reason),
    approveDeletions: (keys) => approveDeletions(context, keys),
    revertDeletions: (keys, signal) => revertDeletions(context, keys, signal),
    retryQuarantined: (ids, signal) => retryQuarantined(context, ids, signal),
    dismissConflicts: (ids, withFiles) => dismissConflicts(context, ids, withFiles),
    dropQuarantined(ids) {
      const chosen = unreadable(context, ids);
      manifest.transaction(() => chosen.forEach((id) => manifest.dropQuarantine(id)));
      return chosen.length;
    },
  };
}
