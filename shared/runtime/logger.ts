// Text logging for operators: JSON lines, or short lines where a person is looking. Messages are constant, facts are fields.
// Secrets do not get out: known field names and the user:password part of any URL are replaced before a line is written.
import { isatty } from 'node:tty';
import { pino } from 'pino';

export type Fields = Readonly<Record<string, unknown>>;

export type Logger = {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
};

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export type LoggerOptions = {
  readonly level: LogLevel;
  /** on every line, so that the lines of several replicas can be mixed */
  readonly replica: string;
  /** takes whole lines, newline included; stdout when not given */
  readonly destination?: { write(line: string): unknown };
};

const secretFields = ['token', 'password', 'secret', 'secrets', 'apiKey', 'authorization', 'credentials'];

/** An error goes into the field `error`: its code, message, stack and causes are written. */
export function createLogger({ level, replica, destination }: LoggerOptions): Logger {
  const lines =
    destination ??
    (isatty(1) ? { write: (line: string) => process.stdout.write(humanLine(line)) } : pino.destination({ dest: 1, sync: true }));
  return pino(
    {
      level,
      base: { replica },
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: pino.stdSerializers.err },
      redact: { paths: secretFields.flatMap((field) => [field, `*.${field}`]), censor: '***' },
      hooks: { streamWrite: hidePasswords },
    },
    lines,
  );
}

/** For tests that look at something else. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** `amqp://user:password@host` becomes `amqp://***@host`, wherever it stands in the text. */
export function hidePasswords(text: string): string {
  return text.replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s/?#"'@]*@/gi, '$1***@');
}

/** `12:30:01.123 warn  message field=value`: one line of a JSON logger for a person; anything else unchanged. */
export function humanLine(line: string): string {
  const parsed = parseLine(line);
  if (parsed === undefined) return line;
  const { time, level, message, replica: _, error, ...fields } = parsed;
  const facts = Object.entries(fields).map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  if (error !== undefined) facts.push(`error=${errorText(error)}`);
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${[String(message), ...facts].join('  ')}\n`;
}

function parseLine(line: string): Fields | undefined {
  try {
    return JSON.parse(line) as Fields;
  } catch {
    return undefined; // not one of our lines; it is shown as it came
  }
}

/** The stack is for files; a person gets the words, which hold the causes' too. */
function errorText(error: unknown): string {
  if (error === null || typeof error !== 'object' || !('message' in error)) return JSON.stringify(error);
  const code = 'code' in error ? `${String(error.code)}: ` : '';
  return `${code}${String(error.message)}`;
}
