// Changes to records and back. A change is a CloudEvents 1.0 event in structured JSON under its own key, so that compaction keeps the
// newest of each key and any tool can read it. What comes in is distrusted: whatever passes here is a change whose key stays in its place.
// Sealing is between this file and the driver (seal.ts).
import { canonicalJson, DocbusError, kindOf, parseKey, reasonOf, sha256, type Change, type Key } from '@docbus/core';
import { isPartKey, PART_BYTES, parsePartKey, partRecords } from './parts.ts';
import { CHANGE_BYTES_MAX, changeSchemas, isChangeType, type ChangeEvent } from './schema.ts';
import { formatTime, parseTime } from './time.ts';
import { isSealedKey, secretUnknown } from './sealed-record.ts';
import type { LogRecord, ReadRecord } from './port.ts';

export type DecodedPayload =
  | { readonly type: 'none' }
  | { readonly type: 'inline'; readonly packed: Uint8Array }
  /** `bytes` in all of them together */
  | { readonly type: 'parts'; readonly parts: number; readonly bytes: number };

export type Decoded =
  | { readonly type: 'change'; readonly change: Change; readonly payload: DecodedPayload }
  | { readonly type: 'part'; readonly key: Key; readonly hash: string; readonly index: number; readonly bytes: Uint8Array }
  /** a null value: an older value of this key is of no use any more */
  | { readonly type: 'dropped' };

/**
 * The parts of the change's payload, then the change: the order to append them in. Equal changes give equal bytes.
 * `packed` (packPayload) for a document or embedding that is present, undefined for everything else.
 */
export function recordsOf(change: Change, packed: Uint8Array | undefined): LogRecord[] {
  const { key, version, base, hash, instance, time, state } = change;
  const kind = kindOf(key);
  if ((packed !== undefined) !== (state === 'present' && (kind === 'document' || kind === 'embedding')))
    throw new TypeError(`a change of ${key} (${state}) ${packed === undefined ? 'lacks its' : 'has no'} payload`);
  const parts = packed === undefined ? [] : partRecords(key, hash, packed);
  const payload =
    packed === undefined
      ? null
      : parts.length > 0
        ? { type: 'parts', parts: parts.length, bytes: packed.length }
        : { type: 'inline', base64: Buffer.from(packed).toString('base64') };
  const event = {
    specversion: '1.0',
    id: sha256(JSON.stringify([key, version.revision, version.replica, state, hash])).slice(0, 32),
    source: `/docbus/${version.replica}`,
    type: `docbus.${kind}.${state === 'present' ? 'put' : 'delete'}.v1`,
    subject: key,
    time: formatTime(time),
    datacontenttype: 'application/json',
    // A content that went through the manifest may have its keys in another order.
    data: { version, base, hash, instance, content: JSON.parse(canonicalJson(change.content)) as unknown, payload },
  };
  const headers = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
  return [...parts, { key, value: Buffer.from(JSON.stringify(event)), headers }];
}

/**
 * Throws `record_malformed`, `record_unknown_type` (a newer docbus wrote it), `path_refused` (its key would leave its directory) or
 * `record_forged` (it is sealed and nobody opened it, or what opened it refused it).
 * Bytes of the result share the record's memory.
 */
export function decodeRecord(record: LogRecord & Pick<ReadRecord, 'refused'>): Decoded {
  const { key, value, refused } = record;
  if (refused !== undefined) throw refused;
  if (value === null) return { type: 'dropped' };
  if (isSealedKey(key)) throw secretUnknown(record);
  if (isPartKey(key)) {
    const name = parsePartKey(key);
    if (value.length === 0 || value.length > PART_BYTES)
      throw malformed(key, `a part has 1 to ${PART_BYTES} bytes, this one ${value.length}`);
    return { type: 'part', ...name, bytes: value };
  }
  if (value.length > CHANGE_BYTES_MAX) throw malformed(key, `it has ${value.length} bytes, the largest change has ${CHANGE_BYTES_MAX}`);
  return decodeChange(key, parseEvent(key, value));
}

function parseEvent(key: string, value: Uint8Array): ChangeEvent {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(value));
  } catch (cause) {
    throw malformed(key, 'it is not JSON', cause);
  }
  const type = json !== null && typeof json === 'object' && 'type' in json ? json.type : undefined;
  if (typeof type !== 'string') throw malformed(key, 'it is not a CloudEvent with a type');
  if (!isChangeType(type))
    throw new DocbusError(
      'record_unknown_type',
      `The record ${quote(key)} is of the type ${quote(type)}, which this docbus does not know; it is kept until this replica is updated.`,
    );
  const parsed = changeSchemas[type].safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw malformed(key, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

function decodeChange(text: string, event: ChangeEvent): Decoded {
  const { type, subject, source, data } = event;
  if (subject !== text) throw malformed(text, `its subject is ${quote(subject)}`);
  const { key, kind } = parseKey(subject);
  if (!type.startsWith(`docbus.${kind}.`)) throw malformed(text, `its type is ${type}`);
  if (source !== `/docbus/${data.version.replica}`)
    throw malformed(text, `its source is ${quote(source)}, its version is of ${data.version.replica}`);
  const { version, base, hash, instance, content, payload } = data;
  const common = { key, version, base, hash, instance, time: parseTime(event.time) };
  const change: Change = content === null ? { ...common, state: 'deleted', content } : { ...common, state: 'present', content };
  if (payload === null) return { type: 'change', change, payload: { type: 'none' } };
  if (payload.type === 'parts') return { type: 'change', change, payload };
  const packed = Buffer.from(payload.base64, 'base64');
  // Buffer.from skips what is no base64; the length gives it away.
  if (packed.toString('base64').length !== payload.base64.length) throw malformed(text, 'its payload is not base64');
  return { type: 'change', change, payload: { type: 'inline', packed } };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function malformed(key: string, what: string, cause?: unknown): DocbusError {
  const because = cause === undefined ? '' : ` (${reasonOf(cause).slice(0, 200)})`;
  return new DocbusError('record_malformed', `The record ${quote(key)} is not one that docbus writes: ${what}${because}.`, { cause });
}

/** A key or type as an operator can read it in one line. */
function quote(text: string): string {
  return JSON.stringify(text.length <= 200 ? text : `${text.slice(0, 199)}…`);
}
