// What a subcommand is, and how it reads its arguments. Each has a file of its own that is loaded only when it is asked for.
import { DocbusError } from '@docbus/core';
import { nearest, type Environment } from '@docbus/runtime';
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** What a command may touch of its process. */
export type Shell = {
  readonly environment: Environment;
  /** Writes a text and a line break to standard output. */
  readonly print: (text: string) => void;
  readonly signal: AbortSignal;
};

export type Command = {
  /** the whole of `docbus <command> --help`; the first line begins with "usage: docbus" */
  readonly usage: string;
  /** The exit code; 0 where nothing is returned. Throws `config_invalid` for wrong usage. */
  readonly run: (args: readonly string[], shell: Shell) => Promise<number | void>;
};

type Options = NonNullable<ParseArgsConfig['options']>;

/** node:util's parseArgs with our words: every mistake is a `config_invalid` that shows how to get help. */
export function readArguments<O extends Options>(command: string, args: readonly string[], options: O) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const unknown = /^Unknown option '(-[^']*)'/.exec((error as Error).message)?.[1];
    if (unknown === undefined) throw wrongUsage(command, (error as Error).message);
    const known = nearest(
      unknown,
      Object.keys(options).map((name) => `--${name}`),
    );
    throw wrongUsage(command, `docbus ${command} has no option ${unknown}.${known === undefined ? '' : ` Did you mean ${known}?`}`);
  }
}

/** One of a command's verbs (`list`, `approve`), the first where none is given. */
export function readVerb<V extends string>(
  command: string,
  positionals: readonly string[],
  verbs: readonly [V, ...V[]],
): { readonly verb: V; readonly rest: readonly string[] } {
  const [said = verbs[0], ...rest] = positionals;
  const verb = verbs.find((known) => known === said);
  if (verb === undefined) throw wrongUsage(command, `docbus ${command} has no ${said}; it has ${verbs.join(', ')}.`);
  return { verb, rest };
}

/** What a verb is to be done to: names, or undefined for everything (--all). One of both must be said: nothing is never taken for everything. */
export function readChosen(
  command: string,
  verb: string,
  { names, all = false, what }: { readonly names: readonly string[]; readonly all: boolean | undefined; readonly what: 'ids' | 'keys' },
): readonly string[] | undefined {
  if (all === names.length > 0) throw wrongUsage(command, `docbus ${command} ${verb} takes either ${what} or --all.`);
  return all ? undefined : names;
}

export function refuseMore(command: string, rest: readonly string[]): void {
  if (rest.length > 0) throw wrongUsage(command, `docbus ${command} takes no ${JSON.stringify(rest[0])} here.`);
}

export function wrongUsage(command: string, problem: string): DocbusError {
  return new DocbusError('config_invalid', `${problem} See: docbus ${command} --help`);
}
