// Settings come from environment variables and are parsed once, at the edge. Everything wrong with them is told in one
// error, so that nobody mends them one restart at a time. What the variables mean is said by whoever declares them.
import { DocbusError } from '@docbus/core';
import { z } from 'zod';
import { hidePasswords } from './logger.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * One setting. `names`: the variables that may hold it, the first that is set counts (an empty text is not set); the first name is the one shown.
 * `schema` takes the text. `fallback`: the text that holds where no variable does; without it the setting must be set, unless `optional`.
 */
export type Setting<T> = {
  readonly names: readonly [string, ...string[]];
  /** what it is, as words that continue "DOCBUS_LOG is": "the address of the log" */
  readonly about: string;
  readonly example: string;
  readonly schema: z.ZodType<T, string>;
  readonly fallback?: string;
  /** unset is fine, and the value is undefined; only in `optionalSetting` */
  readonly optional?: boolean;
  /** never shown */
  readonly secret?: boolean;
};

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type ValuesOf<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** Where a value came from, for `docbus config`. `shown` is its text, masked for secrets, '' where it is not set. */
export type Origin = { readonly name: string; readonly from: 'environment' | 'default' | 'not set'; readonly shown: string };
export type Read<S extends Settings> = { readonly values: ValuesOf<S>; readonly origins: { readonly [K in keyof S]: Origin } };

export function setting<T>(value: Omit<Setting<T>, 'optional'>): Setting<T> {
  return value;
}

export function optionalSetting<T>(value: Omit<Setting<T>, 'optional' | 'fallback'>): Setting<T | undefined> {
  return { ...value, optional: true };
}

export type ReadOptions<S extends Settings> = {
  readonly prefix: string;
  /** true for a variable that another part of docbus reads */
  readonly isOther?: (name: string) => boolean;
  /** problems between settings, as sentences that begin with a variable's name; wrong settings are missing from the values */
  readonly check?: (values: Partial<ValuesOf<S>>) => readonly string[];
};

/**
 * Reads all settings. A variable that begins with `prefix` and is neither named by a setting nor another part's is an error too: it is
 * a misspelling that would otherwise leave a default in force unseen. Throws one `config_invalid` that lists everything.
 */
export function readSettings<S extends Settings>(environment: Environment, settings: S, options: ReadOptions<S>): Read<S> {
  const { prefix, isOther = () => false, check = () => [] } = options;
  const values: Record<string, unknown> = {};
  const origins: Record<string, Origin> = {};
  const problems: string[] = [];
  for (const [field, declared] of Object.entries(settings)) {
    const { name, text, from } = find(environment, declared);
    origins[field] = { name, from, shown: text === undefined ? '' : declared.secret === true ? '***' : hidePasswords(text) };
    if (text === undefined) {
      if (declared.optional !== true)
        problems.push(`${declared.names.join(' or ')} is not set. It is ${declared.about}, for example ${declared.example}`);
      continue;
    }
    const parsed = declared.schema.safeParse(text);
    if (parsed.success) values[field] = parsed.data;
    else problems.push(problemOf(name, text, declared, parsed.error));
  }
  problems.push(...check(values as Partial<ValuesOf<S>>));
  const unknown = Object.keys(environment).filter((name) => name.startsWith(prefix) && !isOther(name) && !serviceVariable.test(name));
  problems.push(
    ...unknownNames(
      unknown,
      Object.values(settings).flatMap(({ names }) => names),
    ),
  );
  if (problems.length > 0) throw configInvalid(problems);
  return { values: values as ValuesOf<S>, origins: origins as Read<S>['origins'] };
}

/** The one error for wrong settings; each problem is a sentence that begins with the variable's name. */
export function configInvalid(problems: readonly string[]): DocbusError {
  const count = problems.length === 1 ? 'One setting is wrong' : `${problems.length} settings are wrong`;
  return new DocbusError('config_invalid', `${count}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
}

/** A whole number from `least` to `most`, written in digits. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): z.ZodType<number, string> {
  const words =
    most === Number.MAX_SAFE_INTEGER ? `must be a whole number of at least ${least}` : `must be a whole number from ${least} to ${most}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, words)
    .transform(Number)
    .refine((value) => value >= least && value <= most, words);
}

function find(
  environment: Environment,
  { names, fallback }: Setting<unknown>,
): { name: string; text: string | undefined; from: Origin['from'] } {
  for (const name of names) {
    const text = environment[name]?.trim();
    if (text !== undefined && text !== '') return { name, text, from: 'environment' };
  }
  return { name: names[0], text: fallback, from: fallback === undefined ? 'not set' : 'default' };
}

function problemOf(name: string, text: string, { example, secret }: Setting<unknown>, error: z.ZodError): string {
  const words = hidePasswords(text);
  const shown = secret === true ? name : `${name}=${words.length > 60 ? `${words.slice(0, 59)}…` : words}`;
  return `${shown} ${error.issues.map(({ message }) => message).join(' and ')}, for example ${example}`;
}

/**
 * What Kubernetes and Docker put into every container beside a service that is itself called docbus: DOCBUS_SERVICE_HOST,
 * DOCBUS_PORT_4510_TCP_ADDR and so on.
 */
const serviceVariable = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

function unknownNames(names: readonly string[], known: readonly string[]): string[] {
  return names
    .filter((name) => !known.includes(name))
    .map((name) => {
      const near = nearest(name, known);
      return `${name} is not a setting of docbus. ${near === undefined ? 'Remove it' : `Did you mean ${near}?`}`;
    });
}

/** The known name with the fewest differing letters, undefined where none is near. Also used for misspelt commands. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((other) => ({ other, letters: lettersApart(name, other) })).toSorted((a, b) => a.letters - b.letters);
  const best = ranked[0];
  return best !== undefined && best.letters <= Math.max(2, Math.floor(name.length / 3)) ? best.other : undefined;
}

/** Levenshtein's distance. */
function lettersApart(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++)
      row.push(Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    previous = row;
  }
  return previous[b.length] ?? 0;
}
