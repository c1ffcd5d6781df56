// Secrets that seal a log, as they are written: one after another, separated by commas or line breaks. The first seals, all open.
import { hkdfSync } from 'node:crypto';

/** HKDF spreads a secret, it does not strengthen one: it has to be random, and long enough that nobody tries them all. */
const CHARACTERS_MIN = 32;
const CHARACTERS_MAX = 1024;
/** Each secret in force makes every append a record longer (seal.ts). */
const SECRETS_MAX = 8;

export const secretsExample = 'the output of: openssl rand -hex 32';

export function splitSecrets(text: string): readonly string[] {
  return text
    .split(/[,\r\n]/)
    .map((secret) => secret.trim())
    .filter((secret) => secret !== '');
}

/** What is wrong with a list of secrets, as words that follow its name; undefined where nothing is. Says nothing of a secret itself. */
export function secretsProblem(text: string): string | undefined {
  const secrets = splitSecrets(text);
  if (secrets.length === 0) return 'holds no secret';
  if (secrets.length > SECRETS_MAX) return `holds ${secrets.length} secrets, more than ${SECRETS_MAX}`;
  for (const [index, secret] of secrets.entries()) {
    const holds = `holds a secret (${index + 1} of ${secrets.length})`;
    if (secret.length < CHARACTERS_MIN || secret.length > CHARACTERS_MAX)
      return `${holds} of ${secret.length} characters; ${CHARACTERS_MIN} to ${CHARACTERS_MAX} are needed`;
    if (!/^[\x21-\x7E]+$/.test(secret)) return `${holds} with characters other than printable ASCII`;
  }
  if (new Set(secrets).size < secrets.length) return 'holds one secret twice';
  return undefined;
}

/** Derives `bytes` bytes for one use of a secret. */
export function deriveKey(secret: string, use: 'value' | 'name' | 'group' | 'id', bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `docbus seal 1 ${use}`, bytes));
}

/** Names a secret without telling it: 16 hex digits, in every record that it seals. */
export function secretId(secret: string): string {
  return deriveKey(secret, 'id', 8).toString('hex');
}
