import { test } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  documentKey,
  embeddingKey,
  isDocbusError,
  membershipKey,
  parseDocPath,
  parseSlug,
  sha256,
  workspaceKey,
  type Change,
  type ErrorCode,
} from '@docbus/core';
import { decodeRecord, recordsOf, type Decoded } from './codec.ts';
import { dropParts, partsOf } from './parts.ts';
import { CHANGE_BYTES_MAX } from './schema.ts';
import type { LogRecord } from './port.ts';

const KIB = 1024;
const path = parseDocPath('custom-documents/größe.txt-1.json');
const slug = parseSlug('my-workspace');
const common = {
  version: { revision: 3, replica: 'replica-1' },
  base: { 'replica-2': 2 },
  hash: sha256('x'),
  instance: '0b5c1f5e-7f0c-4c55-8a53-6a1f5f4b7c11',
  time: 1_763_812_800_123,
} as const;
const documentPut: Change = { ...common, key: documentKey(path), state: 'present', content: { bytes: 12 } };
const embeddingPut: Change = {
  ...common,
  key: embeddingKey(path),
  state: 'present',
  content: {
    fingerprint: { engine: 'native', model: 'Xenova/all-MiniLM-L6-v2', dimensions: 384, chunkSize: null, chunkOverlap: 20 },
    chunks: 7,
    documentHash: null,
  },
};
const workspacePut: Change = {
  ...common,
  key: workspaceKey(slug),
  base: {},
  state: 'present',
  content: {
    name: 'Mein Raum \uD800',
    openAiTemp: 0.7,
    openAiHistory: 20,
    openAiPrompt: 'p'.repeat(5000),
    similarityThreshold: 0.25,
    chatModel: null,
    topN: 4,
    chatMode: 'chat',
    chatProvider: null,
    agentModel: null,
    agentProvider: null,
    queryRefusalResponse: null,
    vectorSearchMode: 'default',
  },
};
const membershipPut: Change = {
  ...common,
  key: membershipKey(slug, path),
  state: 'present',
  content: { copies: [{ docId: 'a', pinned: true }] },
};
const deleted = (change: Change): Change => ({ ...change, hash: '', state: 'deleted', content: null });

const last = (records: readonly LogRecord[]) => records.at(-1) as LogRecord;
const throws = (call: () => unknown, code: ErrorCode, words?: RegExp) =>
  assert.throws(call, (error) => isDocbusError(error, code) && (words === undefined || words.test(error.message)));
/** The record of a change with some fields of its event replaced: `{ 'data.version.revision': 0 }`; undefined removes. */
function forge(change: Change, packed: Uint8Array | undefined, fields: Record<string, unknown>, key: string = change.key): LogRecord {
  const record = last(recordsOf(change, packed));
  const event = JSON.parse(Buffer.from(record.value ?? []).toString()) as Record<string, unknown>;
  for (const [field, value] of Object.entries(fields)) {
    const names = field.split('.');
    let target = event;
    for (const name of names.slice(0, -1)) target = target[name] as Record<string, unknown>;
    target[names.at(-1) as string] = value;
  }
  return { ...record, key, value: Buffer.from(JSON.stringify(event)) };
}

test('every kind of change survives its record, put and deleted', () => {
  const packed = Buffer.from('packed bytes');
  for (const [change, payload] of [
    [documentPut, packed],
    [embeddingPut, packed],
    [workspacePut, undefined],
    [membershipPut, undefined],
    [deleted(documentPut), undefined],
    [deleted(embeddingPut), undefined],
    [deleted(workspacePut), undefined],
    [deleted(membershipPut), undefined],
  ] as const) {
    const records = recordsOf(change, payload);
    assert.equal(records.length, 1);
    const expected: Decoded = { type: 'change', change, payload: payload === undefined ? { type: 'none' } : { type: 'inline', packed } };
    assert.deepEqual(decodeRecord(last(records)), expected);
  }
});

test('the record of a change is a CloudEvent under the change’s key', () => {
  const record = last(recordsOf(documentPut, Buffer.from('p')));
  assert.equal(record.key, documentPut.key);
  assert.deepEqual(record.headers, { 'content-type': 'application/cloudevents+json; charset=UTF-8' });
  const { id, ...event } = JSON.parse(Buffer.from(record.value ?? []).toString());
  assert.match(id, /^[0-9a-f]{32}$/);
  assert.deepEqual(event, {
    specversion: '1.0',
    source: '/docbus/replica-1',
    type: 'docbus.document.put.v1',
    subject: documentPut.key,
    time: '2025-11-22T12:00:00.123Z',
    datacontenttype: 'application/json',
    data: {
      version: common.version,
      base: common.base,
      hash: common.hash,
      instance: common.instance,
      content: { bytes: 12 },
      payload: { type: 'inline', base64: 'cA==' },
    },
  });
});

test('the same change gives the same bytes, whatever the order of its content’s keys; another version gives another id', () => {
  const shuffled = { ...workspacePut, content: Object.fromEntries(Object.entries(workspacePut.content ?? {}).toReversed()) } as Change;
  assert.deepEqual(recordsOf(shuffled, undefined), recordsOf(workspacePut, undefined));
  const id = (change: Change) => JSON.parse(Buffer.from(last(recordsOf(change, undefined)).value ?? []).toString()).id as string;
  const versions = [
    workspacePut,
    deleted(workspacePut),
    { ...workspacePut, version: { revision: 4, replica: 'replica-1' } },
    membershipPut,
  ];
  assert.equal(new Set(versions.map(id)).size, versions.length);
});

test('documents travel inside their change up to 32 KiB, embeddings up to 1 KiB, the rest in parts of 512 KiB', () => {
  const counts = [0, 1, KIB, KIB + 1, 32 * KIB, 32 * KIB + 1, 512 * KIB, 512 * KIB + 1, 1024 * KIB];
  assert.deepEqual(
    counts.map((bytes) => partsOf(documentPut.key, bytes)),
    [0, 0, 0, 0, 0, 1, 1, 2, 2],
  );
  assert.deepEqual(
    counts.map((bytes) => partsOf(embeddingPut.key, bytes)),
    [0, 0, 0, 1, 1, 1, 1, 2, 2],
  );
});

test('parts precede their change, and together are the payload', () => {
  fc.assert(
    fc.property(fc.integer({ min: 32 * KIB + 1, max: 1600 * KIB }), (bytes) => {
      const packed = Buffer.alloc(bytes, 'some bytes');
      const decoded = recordsOf(documentPut, packed).map((record) => decodeRecord(record));
      const change = decoded.pop();
      assert.deepEqual(change, { type: 'change', change: documentPut, payload: { type: 'parts', parts: decoded.length, bytes } });
      assert.equal(decoded.length, partsOf(documentPut.key, bytes));
      const parts = decoded.map((part, index) => {
        assert.ok(part.type === 'part' && part.key === documentPut.key && part.hash === common.hash && part.index === index);
        return part.bytes;
      });
      assert.equal(Buffer.compare(Buffer.concat(parts), packed), 0);
    }),
    { numRuns: 20 },
  );
});

test('dropped parts have the keys of the parts and null values', () => {
  const packed = Buffer.alloc(1025 * KIB);
  const parts = recordsOf(documentPut, packed).slice(0, -1);
  const dropped = dropParts(documentPut.key, common.hash, partsOf(documentPut.key, packed.length));
  assert.deepEqual(
    dropped.map(({ key }) => key),
    parts.map(({ key }) => key),
  );
  for (const record of dropped) assert.deepEqual(decodeRecord(record), { type: 'dropped' });
});

test('every record of a large payload is well below what brokers take', () => {
  for (const record of recordsOf(embeddingPut, Buffer.alloc(3000 * KIB))) assert.ok((record.value?.length ?? 0) <= 512 * KIB);
});

test('a payload where there can be none, or none where there must be one, is a bug of the caller', () => {
  assert.throws(() => recordsOf(documentPut, undefined), TypeError);
  assert.throws(() => recordsOf(workspacePut, Buffer.of(1)), TypeError);
  assert.throws(() => recordsOf(deleted(documentPut), Buffer.of(1)), TypeError);
});

test('unknown fields pass', () => {
  const packed = Buffer.from('p');
  const record = forge(documentPut, packed, { traceparent: '00-…', 'data.later': { a: 1 }, 'data.content.later': true });
  assert.deepEqual(decodeRecord(record), { type: 'change', change: documentPut, payload: { type: 'inline', packed } });
});

test('an unknown type of change is told apart from a malformed one', () => {
  for (const type of ['docbus.thread.put.v1', 'docbus.document.put.v2', 'toString', ''])
    throws(() => decodeRecord(forge(documentPut, Buffer.of(1), { type })), 'record_unknown_type', /updated/);
  const ofAnotherKind = forge(documentPut, Buffer.of(1), { type: 'docbus.thread.put.v1', subject: 'thread/x' }, 'thread/x');
  throws(() => decodeRecord(ofAnotherKind), 'record_unknown_type');
});

test('what is not a change is malformed, and the message names the record and what is wrong', () => {
  const parts = (count: number, bytes: number) => ({ type: 'parts', parts: count, bytes });
  const cases: [field: string, values: unknown[], words?: RegExp][] = [
    ['type', [undefined, 7, null]],
    ['type', ['docbus.embedding.put.v1', 'docbus.document.delete.v1']],
    ['specversion', ['0.3', 1, undefined], /specversion/],
    ['time', ['yesterday', 0, '2025-13-01T00:00:00Z', undefined], /time/],
    ['subject', ['document/f/other.json', '', undefined], /subject/],
    ['source', ['/docbus/replica-2', '/elsewhere', undefined], /source/],
    ['data', [null, 'text', []], /data/],
    ['data.content', [null, [], { bytes: -1 }, { bytes: 1.5 }, { bytes: '12' }, {}], /content/],
    ['data.version', [null, { revision: 1 }, { replica: 'a' }], /version/],
    ['data.version.revision', [0, -1, 1.5, 2 ** 53, '3', null], /revision/],
    ['data.version.replica', ['', 'a/b', 'ä', 'a'.repeat(65), null], /replica/],
    ['data.base', [null, { a: 0 }, { 'a b': 1 }, undefined], /base/],
    ['data.hash', ['', 'abc', common.hash.toUpperCase(), `${common.hash}0`], /hash/],
    ['data.instance', ['', undefined, 'x'.repeat(129)], /instance/],
    [
      'data.payload',
      [null, { type: 'link', url: 'http://…' }, parts(0, 1), parts(1e9, 1e12), parts(1, 512 * KIB + 1), parts(2, 1)],
      /payload/,
    ],
    ['data.payload.base64', ['!!!!', 'cA', 7], /payload/],
  ];
  for (const [field, values, words] of cases)
    for (const value of values) throws(() => decodeRecord(forge(documentPut, Buffer.of(1), { [field]: value })), 'record_malformed', words);
  throws(() => decodeRecord(forge(documentPut, Buffer.of(1), { subject: undefined })), 'record_malformed', /größe/);

  const one = { docId: 'a', pinned: true };
  for (const copies of [
    [],
    [{ docId: '', pinned: true }],
    [{ docId: 'a' }],
    [{ docId: 'a', pinned: 1 }],
    [one, { ...one, pinned: false }],
    'all',
  ])
    throws(() => decodeRecord(forge(membershipPut, undefined, { 'data.content.copies': copies })), 'record_malformed', /copies/);
  throws(() => decodeRecord(forge(deleted(documentPut), undefined, { 'data.hash': common.hash })), 'record_malformed', /hash/);
  throws(() => decodeRecord(forge(workspacePut, undefined, { 'data.content.name': undefined })), 'record_malformed', /name/);
  throws(
    () => decodeRecord(forge(embeddingPut, Buffer.of(1), { 'data.content.fingerprint.dimensions': 1e9 })),
    'record_malformed',
    /dimensions/,
  );
});

test('what is not JSON, or no object, is malformed', () => {
  for (const text of ['', '{"specversion":', '[]', 'null', '"docbus"', '7'])
    throws(() => decodeRecord({ key: documentPut.key, value: Buffer.from(text), headers: {} }), 'record_malformed');
});

test('a record that is too large, not UTF-8 or empty is malformed', () => {
  const record = last(recordsOf(workspacePut, undefined));
  throws(() => decodeRecord({ ...record, value: Buffer.alloc(CHANGE_BYTES_MAX + 1, ' ') }), 'record_malformed', /bytes/);
  throws(() => decodeRecord({ ...record, value: Buffer.of(0x7b, 0xff, 0x7d) }), 'record_malformed');
  throws(() => decodeRecord({ ...record, value: new Uint8Array() }), 'record_malformed');
});

test('a key that would leave its directory is refused, of a change and of a part', () => {
  for (const key of ['document/../x.json', 'embedding/a/../../x.json', 'membership/w/../x.json', 'document//etc/x.json', 'workspace/..']) {
    const kind = key.slice(0, key.indexOf('/'));
    const change = { document: documentPut, embedding: embeddingPut, workspace: workspacePut, membership: membershipPut }[kind] as Change;
    const packed = kind === 'document' || kind === 'embedding' ? Buffer.of(1) : undefined;
    throws(() => decodeRecord(forge(change, packed, { subject: key }, key)), 'path_refused');
    throws(() => decodeRecord({ key: `part/${key}/${common.hash}/0`, value: Buffer.of(1), headers: {} }), 'path_refused');
  }
});

test('a part is malformed when its key is, or its size', () => {
  const part = (key: string, value = Buffer.of(1)) => ({ key, value, headers: {} });
  const good = `part/${documentPut.key}/${common.hash}/0`;
  assert.equal(decodeRecord(part(good)).type, 'part');
  for (const key of [
    'part/',
    `part/${common.hash}/0`,
    `${good}0`.replace('/00', '/01x'),
    good.replace('/0', ''),
    good.replace(/0$/, '99999'),
    good.replace(/0$/, '-1'),
    good.replace(/0$/, '00'),
  ])
    throws(() => decodeRecord(part(key)), 'record_malformed');
  throws(() => decodeRecord(part(good, Buffer.alloc(0))), 'record_malformed');
  throws(() => decodeRecord(part(good, Buffer.alloc(512 * KIB + 1))), 'record_malformed');
});

test('bytes of any kind are decoded or quarantined, never anything else', () => {
  const key = fc.oneof(
    fc.constant<string>(documentPut.key),
    fc.string(),
    fc.string().map((text) => `part/${text}`),
  );
  const value = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    fc.constant(null),
  );
  fc.assert(
    fc.property(key, value, (someKey, someValue) => {
      try {
        decodeRecord({ key: someKey, value: someValue, headers: {} });
      } catch (error) {
        assert.ok(isDocbusError(error) && error.remedy === 'quarantine', String(error));
      }
    }),
    { numRuns: 1000 },
  );
});

test('a publisher’s clock that is out of its mind still gives a readable time', () => {
  for (const [time, read] of [
    [-5, 0],
    [1e300, 253_402_300_799_999],
    [Number.NaN, 0],
    [1.9, 1],
  ] as const) {
    const decoded = decodeRecord(last(recordsOf({ ...membershipPut, time }, undefined)));
    assert.equal(decoded.type === 'change' && decoded.change.time, read);
  }
});
