// A sealed log: between the codec and any driver, which both stay as they are. Content is sealed with AES-256-GCM, names become HMACs:
// equal keys stay equal, so the log compacts, and what belongs together stays together. docs: DECISIONS.md says what can still be seen.
// While several secrets are in force, every append also drops what the others name: a key is in the log once, whoever sealed it.
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto';
import { isDocbusError, type DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime';
import { checkRecordSizes } from './bounds.ts';
import { groupOf } from './kafka-position.ts';
import type { Log, LogRecord, ReadRecord } from './port.ts';
import {
  changedOnItsWay,
  isSealedKey,
  NONCE_BYTES,
  notSealed,
  parseSealedValue,
  REPLICA_HEADER,
  SEALED_MAGIC,
  SEALED_PREFIX,
  SEALED_TYPE,
  secretUnknown,
} from './sealed-record.ts';
import { deriveKey, secretId } from './secrets.ts';

const CIPHER = 'aes-256-gcm';
const LENGTH_BYTES = 4;
/** A null value cannot be sealed, so what it is about is sealed beside it. */
const NULL_HEADER = 'docbus-sealed';
const GROUP_BYTES = 16;
/** More than sealing adds to a record, for those who ask before they append: the key twice and some 250 bytes. */
const OVERHEAD_BYTES = 16 * 1024;

type Sealer = { readonly id: string; readonly value: Buffer; readonly name: Buffer; readonly group: Buffer };

export type SealOptions = {
  /** at least one; the first seals, all open */
  readonly secrets: readonly string[];
  /** in the clear on every record, so that whoever cannot open it knows whom to ask */
  readonly replica: string;
  readonly clock: Pick<Clock, 'random'>;
};

/** The log with everything in it sealed. A record that cannot be opened is read as it is, with `refused`. Disposes of the log below. */
export function createSealedLog(log: Log, { secrets, replica, clock }: SealOptions): Log {
  const sealers = secrets.map(createSealer);
  const [first, ...others] = sealers;
  if (first === undefined) throw new TypeError('a sealed log needs a secret');

  const seal = (record: LogRecord): LogRecord => {
    const key = sealedKey(first, record.key);
    const head = Buffer.from(JSON.stringify([record.key, record.headers]));
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(head.length);
    const nonce = clock.random(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, first.value, nonce).setAAD(boundTo(key, replica, record.value === null));
    const id = Buffer.from(first.id, 'hex');
    const sealed = [cipher.update(length), cipher.update(head), cipher.update(record.value ?? Buffer.alloc(0)), cipher.final()];
    const bytes = Buffer.concat([SEALED_MAGIC, id, nonce, ...sealed, cipher.getAuthTag()]);
    return record.value === null
      ? { key, value: null, headers: { [REPLICA_HEADER]: replica, [NULL_HEADER]: bytes.toString('base64') } }
      : { key, value: bytes, headers: { [REPLICA_HEADER]: replica, 'content-type': SEALED_TYPE } };
  };

  const open = (record: LogRecord): LogRecord => {
    if (record.value === null) return record.headers[NULL_HEADER] === undefined ? record : openBytes(record, null);
    if (!isSealedKey(record.key)) throw notSealed(record);
    return openBytes(record, record.value);
  };

  const openBytes = (record: LogRecord, value: Uint8Array | null): LogRecord => {
    const parsed = parseSealedValue(value ?? Buffer.from(record.headers[NULL_HEADER] ?? '', 'base64'));
    if (parsed === undefined) throw changedOnItsWay(record);
    const sealer = sealers.find(({ id }) => id === parsed.secretId);
    if (sealer === undefined) throw secretUnknown(record);
    try {
      const decipher = createDecipheriv(CIPHER, sealer.value, parsed.nonce)
        .setAAD(boundTo(record.key, record.headers[REPLICA_HEADER] ?? '', value === null))
        .setAuthTag(parsed.tag);
      const clear = Buffer.concat([decipher.update(parsed.sealed), decipher.final()]);
      const valueAt = LENGTH_BYTES + clear.readUInt32LE();
      const [key, headers] = JSON.parse(clear.toString('utf8', LENGTH_BYTES, valueAt)) as [string, Record<string, string>];
      return { key, headers, value: value === null ? null : clear.subarray(valueAt) };
    } catch (cause) {
      throw changedOnItsWay(record, cause);
    }
  };

  return {
    name: log.name,
    get recordBytesMax() {
      return log.recordBytesMax - OVERHEAD_BYTES;
    },
    async append(records, signal) {
      checkRecordSizes(records, log.recordBytesMax - OVERHEAD_BYTES, log.name);
      const sealed = records.flatMap((record) => [
        seal(record),
        ...others.map((other) => ({ key: sealedKey(other, record.key), value: null, headers: {} })),
      ]);
      await log.append(sealed, signal);
    },
    async read(after, limits, signal) {
      const records = await log.read(after, limits, signal);
      return records.map((record): ReadRecord => {
        const { position, time } = record;
        const opened = orRefusal(() => open(record));
        if (!isDocbusError(opened)) return { ...opened, position, time };
        // Whoever can append a null value can do no more harm with it than the log's own operator.
        return record.value === null ? record : { ...record, refused: opened };
      });
    },
    end: (after, signal) => log.end(after, signal),
    report: (position, signal) => log.report(position, signal),
    hints: (signal) => log.hints(signal),
    identity: (signal) => log.identity(signal),
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}

function createSealer(secret: string): Sealer {
  return {
    id: secretId(secret),
    value: deriveKey(secret, 'value', 32),
    name: deriveKey(secret, 'name', 32),
    group: deriveKey(secret, 'group', 32),
  };
}

/** The same for the same key. Its second segment is the same for everything that must stay in order, as drivers with several orders ask. */
function sealedKey({ name, group }: Sealer, key: string): string {
  const groupMac = createHmac('sha256', group).update(groupOf(key)).digest().subarray(0, GROUP_BYTES);
  const nameMac = createHmac('sha256', name).update(key).digest();
  return `${SEALED_PREFIX}${groupMac.toString('base64url')}/${nameMac.toString('base64url')}`;
}

/** What cannot be changed without breaking the seal, beside the content. */
function boundTo(key: string, replica: string, isNull: boolean): Buffer {
  return Buffer.from(JSON.stringify([key, replica, isNull]));
}

function orRefusal(open: () => LogRecord): LogRecord | DocbusError {
  try {
    return open();
  } catch (error) {
    if (isDocbusError(error, 'record_forged')) return error;
    throw error;
  }
}
