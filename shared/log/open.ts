// A log by its URL: the scheme chooses the driver, and only that driver and its libraries are loaded.
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DocbusError } from '@docbus/core';
import { parseKafkaUrl } from './kafka-url.ts';
import { parseRabbitUrl } from './rabbitmq-url.ts';
import { createSealedLog } from './seal.ts';
import type { Log, LogOptions } from './port.ts';

const examples = {
  'kafka:': 'kafka://broker1:9092,broker2:9092/docbus',
  'amqp:': 'amqp://user:password@rabbitmq:5672/vhost?stream=docbus',
  'amqps:': 'amqps://user:password@rabbitmq:5671/vhost?stream=docbus',
  'sqlite:': 'sqlite:/var/lib/docbus/log.db',
} as const;
type Scheme = keyof typeof examples;

/** The driver for a URL. Drivers connect at the first use: an unreachable log is an error of that use. Throws `config_invalid` for a URL that names no log. */
export async function openLog(url: string, options: LogOptions, signal: AbortSignal): Promise<Log> {
  const scheme = checkLogUrl(url);
  switch (scheme) {
    case 'sqlite:': {
      const { openSqliteLog } = await import('./sqlite.ts');
      return openSqliteLog({ ...options, path: sqlitePath(url) });
    }
    case 'kafka:': {
      const { openKafkaLog } = await import('./kafka.ts');
      return openKafkaLog({ ...options, url }, signal);
    }
    case 'amqp:':
    case 'amqps:': {
      const { openRabbitLog } = await import('./rabbitmq.ts');
      return openRabbitLog({ ...options, url }, signal);
    }
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
  if (scheme !== 'sqlite:') return /[?&]create=/.test(url) ? url : `${url}${url.includes('?') ? '&' : '?'}create=false`;
  if (!existsSync(sqlitePath(url))) throw invalid(`there is no file ${sqlitePath(url)}`, 'the file that holds the log');
  return url;
}

/** The same log for a person who waits: a directory that is missing is told at once. (An agent waits until it is mounted.) Throws `config_invalid`. */
export function writableLogUrl(url: string): string {
  if (checkLogUrl(url) !== 'sqlite:') return url;
  const directory = dirname(sqlitePath(url));
  if (!existsSync(directory)) throw invalid(`there is no directory ${directory}`, 'one that is there, or make it');
  return url;
}

/** The scheme of a URL that openLog takes. Throws `config_invalid` with an example; reads the PEM files that the URL names. */
export function checkLogUrl(url: string): Scheme {
  const scheme = Object.keys(examples).find((known): known is Scheme => url.startsWith(known));
  if (scheme === undefined) throw invalid(`${shown(url)} is not the address of a log`, `one of ${Object.values(examples).join(', ')}`);
  if (scheme === 'sqlite:' && !/^\/[^/]/.test(sqlitePath(url)))
    throw invalid(`${shown(url)} does not name a file by its absolute path`, examples[scheme]);
  if (scheme === 'kafka:') parseKafkaUrl(url);
  if (scheme === 'amqp:' || scheme === 'amqps:') parseRabbitUrl(url);
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
