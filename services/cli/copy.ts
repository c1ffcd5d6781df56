// docbus copy: backup, restore, migration, re-sealing and bridging, which are all one thing, because merge does not care where a change is from.
import { DocbusError, isDocbusError } from '@docbus/core';
import { existingLogUrl, openLogWith, secretsProblem, splitSecrets, writableLogUrl } from '@docbus/log';
import type { Log } from '@docbus/log/port.ts';
import { systemClock, type Clock } from '@docbus/runtime';
import { readFileSync } from 'node:fs';
import { readArguments, refuseMore, wrongUsage, type Command } from './command.ts';
import { CopyLedger, type Side } from './copy-ledger.ts';
import { createCopy, type Copy } from './copy-log.ts';
import { createPatientLog } from './patient-log.ts';
import { createProgress, formatBytes, formatCount, formatMany, formatSeconds } from './progress.ts';

/** Stands in for a replica's name where a log wants one. */
const NAME = 'docbus-copy';

export const command: Command = {
  usage: `usage: docbus copy --from LOG --to LOG [--follow] [--from-secret-file FILE] [--to-secret-file FILE]

Copies what a log holds into another one: the newest version of everything, of any log into any log (kafka:, amqp:, sqlite:).
  backup     docbus copy --from kafka://broker:9092/docbus --to sqlite:/backup/docbus.db
  restore    the same the other way round
  migration  from one broker to another; a RabbitMQ stream into a new one leaves behind what was superseded
What the target has already, or has better, is left alone, so a copy may be repeated and goes on where it was interrupted.

  --follow                  do not end: carry over what comes. Two of them in opposite directions join two sites.
  --from-secret-file FILE   the secrets of the log that is read, where it is sealed: the agents' DOCBUS_SECRET, one per line
  --to-secret-file FILE     the secrets of the log that is written, if it is to be sealed; another first secret seals it anew
Exit code 1 where something could not be copied.`,

  run: async (args, { print, signal }) => {
    const { values, positionals } = readArguments('copy', args, {
      from: { type: 'string' },
      to: { type: 'string' },
      follow: { type: 'boolean' },
      'from-secret-file': { type: 'string' },
      'to-secret-file': { type: 'string' },
    });
    refuseMore('copy', positionals);
    const { from, to, follow = false } = values;
    if (from === undefined || to === undefined) throw wrongUsage('copy', 'docbus copy needs --from LOG and --to LOG.');
    const secrets = { source: readSecrets('--from-secret-file', values), target: readSecrets('--to-secret-file', values) };
    const open = async (side: Side, url: string): Promise<Log> => {
      const log = await openLogWith(secrets[side], url, { replica: NAME, clock: systemClock }, signal);
      return createPatientLog(log, { clock: systemClock, forEver: follow, onProblem: (message) => print(`Trying again: ${message}`) });
    };
    await using source = await open('source', existingLogUrl(from));
    await using target = await open('target', writableLogUrl(to));
    try {
      return await copyLogs({ source, target, follow, print, clock: systemClock }, signal);
    } catch (error) {
      // Being asked to stop is how a bridge ends.
      if (follow && signal.aborted && (error === signal.reason || isDocbusError(error, 'aborted'))) return 0;
      throw error;
    }
  },
};

export type CopyLogsOptions = {
  readonly source: Log;
  readonly target: Log;
  readonly follow: boolean;
  readonly print: (text: string) => void;
  readonly clock: Clock;
};

/** The exit code. With `follow` it returns only when the signal aborts. */
export async function copyLogs(options: CopyLogsOptions, signal: AbortSignal): Promise<number> {
  const { source, target, follow, print } = options;
  if ((await source.identity(signal)) === (await target.identity(signal)))
    throw wrongUsage('copy', `${source.name} and ${target.name} are the same log.`);
  for (;;) {
    try {
      using ledger = new CopyLedger();
      const copied = await copyAll(options, ledger, signal);
      if (!follow) return summarise(copied, ledger, options);
      await bridge(copied, options, signal);
      return 0;
    } catch (error) {
      if (!follow || !isDocbusError(error) || error.remedy !== 'bootstrap') throw error;
      print(`Starting over: ${error.message}`);
    }
  }
}

/** Everything that is there now. */
async function copyAll({ source, target, print, clock }: CopyLogsOptions, ledger: CopyLedger, signal: AbortSignal): Promise<Copy> {
  const begun = clock.now();
  const progress = createProgress(clock, print);
  const copy = createCopy({ source, target, ledger, onBatch: progress.update });
  progress.begin(`reading what ${target.name} has`, (await target.end(undefined, signal)).records);
  await copy.learnTarget(signal);
  refuseWrongSecret(copy, 'target', target, '--to-secret-file');
  const { records } = await source.end(undefined, signal);
  progress.begin(`reading ${source.name}`, records);
  await copy.findWinners(signal);
  refuseWrongSecret(copy, 'source', source, '--from-secret-file');
  progress.begin('copying', records);
  await copy.appendWinners(signal);
  const { counts } = copy;
  const there = ledger.count('source') - ledger.incompleteCount() - counts.changes;
  print(
    ledger.count('source') === 0
      ? `There is nothing to copy in ${source.name}.`
      : `Copied ${formatMany(counts.changes, 'change')} (${formatMany(counts.records, 'record')}, ${formatBytes(counts.bytes)}) in ${formatSeconds((clock.now() - begun) / 1000)}; ${formatCount(there)} were in ${target.name} already.`,
  );
  return copy;
}

/** For ever: what the source gets. */
async function bridge(copy: Copy, { source, target, print }: CopyLogsOptions, signal: AbortSignal): Promise<void> {
  print(`Following ${source.name}; stop it with Ctrl-C.`);
  const { counts } = copy;
  for await (const _ of source.hints(signal)) {
    const before = { ...counts, unreadable: counts.unreadable.source.records };
    await copy.appendWinners(signal);
    if (counts.changes > before.changes)
      print(
        `Copied ${formatMany(counts.changes - before.changes, 'change')} (${formatBytes(counts.bytes - before.bytes)}) to ${target.name}.`,
      );
    if (counts.unreadable.source.records > before.unreadable) print(describeUnreadable(copy, source));
  }
}

function summarise(copy: Copy, ledger: CopyLedger, { source, print }: CopyLogsOptions): number {
  const incomplete = ledger.incompleteCount();
  if (copy.counts.unreadable.source.records > 0) print(describeUnreadable(copy, source));
  if (incomplete > 0)
    print(
      `${formatMany(incomplete, 'change')} could not be copied because parts are gone from ${source.name}. Touch these documents on a replica that has them, then copy again.`,
    );
  return incomplete > 0 || copy.counts.unreadable.source.records > 0 ? 1 : 0;
}

function describeUnreadable({ counts }: Copy, source: Log): string {
  const { records, words } = counts.unreadable.source;
  return [
    `${formatMany(records, 'record')} of ${source.name} could not be read and ${records === 1 ? 'was' : 'were'} not copied:`,
    ...[...words].map(([code, message]) => `  ${code}: ${message}`),
  ].join('\n');
}

/** Some records that nobody can read may lie in any log; more of them than of others means that the secret is wrong. */
function refuseWrongSecret({ counts }: Copy, side: Side, log: Log, option: string): void {
  const { forged, words } = counts.unreadable[side];
  if (forged > counts.read[side])
    throw new DocbusError(
      'config_invalid',
      `${formatMany(forged, 'record')} of ${log.name} cannot be opened with the secrets given by ${option}. Nothing was copied. The first says: ${words.get('record_forged') ?? ''}`,
    );
}

function readSecrets(option: '--from-secret-file' | '--to-secret-file', values: Readonly<Record<string, unknown>>): readonly string[] {
  const file = values[option.slice(2)];
  if (typeof file !== 'string') return [];
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new DocbusError(
      'config_invalid',
      `The file of ${option} cannot be read. Give one that holds the secret, or several, one per line`,
      {
        cause,
      },
    );
  }
  const problem = secretsProblem(text);
  if (problem !== undefined) throw wrongUsage('copy', `The file of ${option} ${problem}.`);
  return splitSecrets(text);
}
