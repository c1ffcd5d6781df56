// A log by its URL: the scheme chooses the driver, and only that driver and its libraries are loaded.
import { existsSync } from 'node:fs';
import { DocbusError } from '@docbus/core';
import { createSealedLog } from './seal.ts';
import type { Log, LogOptions } from './port.ts';

const examples = {
  'kafka:': 'kafka://broker1:9092,broker2:9092/docbus',
  'amqp:': 'amqp://user:password@rabbitmq:5672/vhost?stream=docbus',
  'amqps:': 'amqps://user:password@rabbitmq:5671/vhost?stream=docbus',
  'sqlite:': 'sqlite:/var/lib/docbus/log.db',
  'memory:': 'memory:',
} as const;
type Scheme = keyof typeof examples;

/** The driver for a URL. Drivers connect at the first use: an unreachable log is an error of that use. Throws `config_invalid` for a URL that names no log. */
export async function openLog(url: string, options: LogOptions, signal: AbortSignal): Promise<Log> {
  const scheme = checkLogUrl(url);
  // Named by text until the file is there.
  const openBrokerLog = async (file: string, name: string): Promise<Log> => {
    const driver = (await import(file)) as Record<string, (options: LogOptions & { url: string }, signal: AbortSignal) => Promise<Log>>;
    return (driver[name] as (typeof driver)[string])({ ...options, url }, signal);
  };
  switch (scheme) {
    case 'memory:': {
      const { createMemoryLog } = await import('./memory.ts');
      return createMemoryLog(options);
    }
    case 'sqlite:': {
      const { openSqliteLog } = await import('./sqlite.ts');
      return openSqliteLog({ ...options, path: sqlitePath(url) });
    }
    case 'kafka:': {
      const { openKafkaLog } = await import('./kafka.ts');
      return openKafkaLog({ ...options, url }, signal);
    }
    default:
      return openBrokerLog('./rabbitmq.ts', 'openRabbitLog');
  }
}

/** The log of a URL, sealed where there are secrets. */
export async function openLogWith(secrets: readonly string[], url: string, options: LogOptions, signal: AbortSignal): Promise<Log> {
  const log = await openLog(url, options, signal);
  return secrets.length === 0 ? log : createSealedLog(log, { ...options, secrets });
}

/** The same log for somebody who only reads: where there is none, none is made, but its first use is an error. Throws `config_invalid`. */
export function existingLogUrl(url: string): string {
  const scheme = checkLogUrl(url);
  if (scheme === 'memory:') throw invalid('the log in memory holds nothing that another process wrote', examples['sqlite:']);
  if (scheme !== 'sqlite:') return /[?&]create=/.test(url) ? url : `${url}${url.includes('?') ? '&' : '?'}create=false`;
  if (!existsSync(sqlitePath(url))) throw invalid(`there is no file ${sqlitePath(url)}`, 'the file that holds the log');
  return url;
}

/** The scheme of a URL that openLog takes. Throws `config_invalid` with an example. Brokers' drivers look at the rest themselves. */
export function checkLogUrl(url: string): Scheme {
  const scheme = Object.keys(examples).find((known): known is Scheme => url.startsWith(known));
  if (scheme === undefined) throw invalid(`${shown(url)} is not the address of a log`, `one of ${Object.values(examples).join(', ')}`);
  if (scheme === 'sqlite:' && !/^\/[^/]/.test(sqlitePath(url)))
    throw invalid(`${shown(url)} does not name a file by its absolute path`, examples[scheme]);
  if (scheme === 'memory:' && url !== scheme)
    throw invalid('the log in memory has no name, and no other process sees it', examples[scheme]);
  return scheme;
}

/** `sqlite:/path` and `sqlite:///path` are the same file. Anything else in a file's name is part of it, `%` and `?` too. */
function sqlitePath(url: string): string {
  return url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '');
}

/** A URL may hold a password. */
function shown(url: string): string {
  return JSON.stringify(url.replace(/\/\/[^@/]*@/, '//***@'));
}

function invalid(what: string, example: string): DocbusError {
  return new DocbusError('config_invalid', `The address of the log is wrong: ${what}. Use ${example}.`);
}
