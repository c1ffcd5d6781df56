// The URL of a broker: `scheme://user:password@host:port,host:port/path?settings`. The platform's URL knows one host only.
// What is wrong is named in one message, and no message holds the password.
import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { DocbusError } from '@docbus/core';

export type BrokerUrl = {
  readonly scheme: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** `host:port`, at least one */
  readonly hosts: readonly string[];
  /** decoded, without the slash */
  readonly path: string;
  readonly settings: URLSearchParams;
  /** the URL without password, for people */
  readonly name: string;
};

const FORM = /^([a-z0-9+]+):\/\/(?:([^@/?#]*)@)?([^/?#@]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i;
const HOST = /^([a-z0-9._-]+)(?::(\d{1,5}))?$/i;

export function parseBrokerUrl(
  text: string,
  { example, port, known }: { example: string; port: number; known: readonly string[] },
): BrokerUrl {
  const refuse = (problem: string): never => {
    throw new DocbusError('config_invalid', `The log's URL ${problem}. It looks like ${example}`);
  };
  const form = FORM.exec(text);
  if (form === null) return refuse('cannot be understood');
  const [, scheme = '', credentials, authority = '', path = '', query = ''] = form;
  const hosts = authority.split(',').map((host) => {
    const parts = HOST.exec(host);
    if (parts === null) return refuse(`names a host that is not host:port: ${JSON.stringify(host)} (of IPv6 use a name)`);
    const number = Number(parts[2] ?? port);
    if (number < 1 || number > 65_535) return refuse(`names a port that is not between 1 and 65535: ${JSON.stringify(host)}`);
    return `${parts[1]}:${number}`;
  });
  const settings = new URLSearchParams(query);
  for (const setting of settings.keys())
    if (!known.includes(setting)) refuse(`has an unknown setting ${setting}; there are ${known.join(', ')}`);
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      return refuse('has a % that is not followed by two hex digits');
    }
  };
  const colon = credentials?.indexOf(':') ?? -1;
  const username = credentials === undefined ? undefined : decode(colon < 0 ? credentials : credentials.slice(0, colon));
  const password = credentials === undefined || colon < 0 ? undefined : decode(credentials.slice(colon + 1));
  const user = username === undefined ? '' : `${encodeURIComponent(username)}@`;
  return {
    scheme: scheme.toLowerCase(),
    username,
    password,
    hosts,
    path: decode(path),
    settings,
    name: `${scheme}://${user}${authority}/${path}`,
  };
}

/** `ca`, `cert` and `key` are PEM files; any of them means TLS. undefined without TLS. */
export function tlsOf(url: BrokerUrl, wanted: boolean): ConnectionOptions | undefined {
  const file = (setting: string): { readonly [name: string]: Buffer } => {
    const path = url.settings.get(setting);
    if (path === null) return {};
    try {
      return { [setting]: readFileSync(path) };
    } catch (error) {
      throw new DocbusError(
        'config_invalid',
        `The file ${path} of ${setting}= in the log's URL cannot be read. Give the path of a PEM file.`,
        { cause: error },
      );
    }
  };
  const files: ConnectionOptions = { ...file('ca'), ...file('cert'), ...file('key') };
  return wanted || Object.keys(files).length > 0 ? files : undefined;
}

/** A whole number of at least `min`; config_invalid otherwise. */
export function numberSetting(url: BrokerUrl, setting: string, byDefault: number, min = 1): number {
  const text = url.settings.get(setting);
  if (text === null) return byDefault;
  if (!/^\d{1,15}$/.test(text) || Number(text) < min)
    throw new DocbusError(
      'config_invalid',
      `The setting ${setting}=${text} of the log's URL is not a whole number of at least ${min}, such as ${setting}=${Math.max(min, byDefault)}.`,
    );
  return Number(text);
}

export function booleanSetting(url: BrokerUrl, setting: string, byDefault: boolean): boolean {
  const text = url.settings.get(setting);
  if (text === null) return byDefault;
  if (text !== 'true' && text !== 'false')
    throw new DocbusError('config_invalid', `The setting ${setting}=${text} of the log's URL is neither true nor false.`);
  return text === 'true';
}

/** One of `choices`; config_invalid otherwise. */
export function choiceSetting<T extends string>(url: BrokerUrl, setting: string, choices: readonly T[], byDefault: T): T {
  const text = url.settings.get(setting) ?? byDefault;
  const found = choices.find((choice) => choice === text);
  if (found === undefined)
    throw new DocbusError('config_invalid', `The setting ${setting}=${text} of the log's URL is none of ${choices.join(', ')}.`);
  return found;
}
