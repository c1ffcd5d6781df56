// What a sealed record shows to everybody: its key, who says to have appended it, and which secret sealed it. Nothing here needs a secret.
//   key    sealed/<which records belong together>/<name>, HMACs both
//   value  'DBS' 1 | id of the secret, 8 bytes | nonce, 12 bytes | what AES-256-GCM made of it | tag, 16 bytes
import { DocbusError } from '@docbus/core';
import type { LogRecord } from './port.ts';

export const SEALED_PREFIX = 'sealed/';
export const SEALED_MAGIC = Buffer.of(0x44, 0x42, 0x53, 1);
export const SECRET_ID_BYTES = 8;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const SEALED_TYPE = 'application/vnd.docbus.sealed';
export const REPLICA_HEADER = 'docbus-replica';

const REPLICA = /^[A-Za-z0-9._-]{1,64}$/;

export function isSealedKey(key: string): boolean {
  return key.startsWith(SEALED_PREFIX);
}

export type SealedValue = { readonly secretId: string; readonly nonce: Uint8Array; readonly sealed: Uint8Array; readonly tag: Uint8Array };

/** undefined where the bytes are no sealed value. */
export function parseSealedValue(value: Uint8Array): SealedValue | undefined {
  const nonceAt = SEALED_MAGIC.length + SECRET_ID_BYTES;
  const sealedAt = nonceAt + NONCE_BYTES;
  const tagAt = value.length - TAG_BYTES;
  if (tagAt < sealedAt || !SEALED_MAGIC.every((byte, i) => value[i] === byte)) return undefined;
  return {
    secretId: Buffer.from(value.subarray(SEALED_MAGIC.length, nonceAt)).toString('hex'),
    nonce: value.subarray(nonceAt, sealedAt),
    sealed: value.subarray(sealedAt, tagAt),
    tag: value.subarray(tagAt),
  };
}

/** Who appended a record, by its own account: a sealed one says so in a header, an unsealed change in its source. undefined where it does not say. */
export function authorOf({ value, headers }: LogRecord): string | undefined {
  const named = headers[REPLICA_HEADER] ?? /"source":"\/docbus\/([^"]*)"/.exec(Buffer.from(value?.subarray(0, 4096) ?? []).toString())?.[1];
  return named !== undefined && REPLICA.test(named) ? named : undefined;
}

/** For a reader that has not got the secret, or none at all. */
export function secretUnknown(record: LogRecord): DocbusError {
  const id = record.value === null ? undefined : parseSealedValue(record.value)?.secretId;
  if (id === undefined) return changedOnItsWay(record);
  return forged(
    `${author(record)} appended a record that is sealed with a secret this replica does not have (${id}). Give all replicas the same DOCBUS_SECRET; then it is read again by itself.`,
  );
}

/** For a reader that has a secret. */
export function notSealed(record: LogRecord): DocbusError {
  return forged(
    `${author(record)} appended the record ${JSON.stringify(record.key.slice(0, 200))} without sealing it, which this replica's secret demands. Give all replicas the same DOCBUS_SECRET; that replica then appends it again.`,
  );
}

export function changedOnItsWay(record: LogRecord, cause?: unknown): DocbusError {
  return forged(
    `A record in the name of ${authorOf(record) ?? 'nobody'} is not what was sealed: it was changed or put under another key. Find out who else can write to the log; what is in it is not used.`,
    cause,
  );
}

function author(record: LogRecord): string {
  return `The replica ${authorOf(record) ?? '(which does not say its name)'}`;
}

function forged(message: string, cause?: unknown): DocbusError {
  return new DocbusError('record_forged', message, { cause });
}
