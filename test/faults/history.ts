// For whoever looks for the reason of a failure: everything that a run knows about the documents and workspaces that a verdict names.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { formatVersion } from '@docbus/core';
import type { Edit } from './edits.ts';
import type { Published } from './follower.ts';

export type Trace = {
  readonly edits: readonly Edit[];
  /** what people did, in words, each with its time */
  readonly notes: readonly string[];
  readonly changes: readonly Published[];
};

const NAMES_MAX = 4;
const LINES_MAX = 60;

/** In the order of time: what people did to a named thing, what was seen of it in the log, and what agents said of it. */
export function historyOf(complaints: readonly string[], { edits, notes, changes }: Trace, outputs: readonly string[]): readonly string[] {
  const names = new Set(complaints.flatMap((complaint) => nameIn(complaint) ?? []));
  return [...names].slice(0, NAMES_MAX).flatMap((name) => {
    const at = (ms: number): string => new Date(ms).toISOString();
    const lines = [
      ...edits
        .filter(({ key }) => key.endsWith(name))
        .map(
          (edit) => `${at(edit.at)} ${edit.replica} ${edit.operation}: ${edit.key} ${edit.before.slice(0, 8)} -> ${edit.after.slice(0, 8)}`,
        ),
      ...notes.filter((note) => note.includes(name)),
      ...changes
        .filter(({ change: { key } }) => key.endsWith(name))
        .map(
          ({ change, at: seen }) =>
            `${at(seen)} log ${formatVersion(change.version)} ${change.key} ${change.state} ${change.hash.slice(0, 8)} on ${JSON.stringify(change.base)}`,
        ),
      ...outputs.flatMap((output) =>
        readFileSync(output, 'utf8')
          .split('\n')
          .filter((line) => line.includes(name))
          .map((line) => `${/"time":"([^"]+)"/.exec(line)?.[1] ?? '?'} ${basename(output)} ${line.slice(0, 400)}`),
      ),
    ].toSorted();
    const left = lines.length - LINES_MAX;
    return [
      `history of ${name}:`,
      ...(left > 0 ? [`  … ${left} earlier lines`] : []),
      ...lines.slice(-LINES_MAX).map((line) => `  ${line}`),
    ];
  });
}

/** A docpath, or a workspace's slug. */
function nameIn(complaint: string): string | undefined {
  return /[^\s/"]+\/[^\s/"]+\.json/.exec(complaint)?.[0] ?? /workspace\/([\w-]+)/.exec(complaint)?.[1];
}
