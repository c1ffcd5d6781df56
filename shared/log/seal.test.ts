import { test } from 'node:test';
import assert from 'node:assert/strict';
import { documentKey, isDocbusError, parseDocPath, sha256, type Change, type Key } from '@docbus/core';
import { systemClock } from '@docbus/runtime';
import { decodeRecord, recordsOf } from './codec.ts';
import { logConformance } from './conformance.ts';
import { partitionOf } from './kafka-position.ts';
import {
  compactMemoryStore,
  createMemoryStore,
  loseMemoryTail,
  openMemoryLog,
  recreateMemoryStore,
  truncateMemoryStore,
  type MemoryStore,
} from './memory.ts';
import { dropParts } from './parts.ts';
import { createSealedLog } from './seal.ts';
import { isSealedKey } from './sealed-record.ts';
import { secretsProblem, splitSecrets } from './secrets.ts';
import type { Log, LogRecord } from './port.ts';

const never = new AbortController().signal;
const limits = { recordsMax: 1000, bytesMax: 64 << 20 };
const old = 'an-old-secret-an-old-secret-an-old-secret';
const fresh = 'a-new-secret-a-new-secret-a-new-secret-a';
const path = parseDocPath('custom-documents/Kündigung Müller.json');

for (const [secrets, compactsAtAppend] of [
  [[old], true],
  [[old], false],
  [[fresh, old], true],
] as const)
  logConformance(`a sealed memory${compactsAtAppend ? ', compacting at append' : ''}, secrets: ${secrets.length}`, {
    compactsAtAppend,
    deadlineMs: 2000,
    create: async () => {
      const store = createMemoryStore({ clock: systemClock, compactsAtAppend });
      return {
        open: async (replica) => sealed(store, replica, secrets),
        recreate: async () => recreateMemoryStore(store),
        truncate: async () => void truncateMemoryStore(store, 5),
        loseTail: async (kept) => void loseMemoryTail(store, kept),
        [Symbol.asyncDispose]: async () => {},
      };
    },
  });

const sealed = (store: MemoryStore, replica: string, secrets: readonly string[]): Log =>
  createSealedLog(openMemoryLog(store, { replica }), { secrets, replica, clock: systemClock });

const newStore = (compactsAtAppend = false): MemoryStore => createMemoryStore({ clock: systemClock, compactsAtAppend });

function put(revision: number, packed: Uint8Array, key: Key = documentKey(path)): LogRecord[] {
  const change: Change = {
    key,
    version: { revision, replica: 'a' },
    base: {},
    hash: sha256(packed),
    instance: 'i',
    time: 1,
    state: 'present',
    content: { bytes: packed.length },
  };
  return recordsOf(change, packed);
}

/** What a reader makes of the log: the changes' revisions, or the words of the refusal. */
async function outcomes(log: Log): Promise<(string | number)[]> {
  const records = await log.read(undefined, limits, never);
  return records.map((record) => {
    try {
      const decoded = decodeRecord(record);
      return decoded.type === 'change' ? decoded.change.version.revision : decoded.type;
    } catch (error) {
      assert.ok(isDocbusError(error, 'record_forged'), String(error));
      return error.message;
    }
  });
}

test('what lies in the log tells neither name nor content, and opens to exactly what was appended', async () => {
  const store = newStore();
  const records = [...put(1, Buffer.from('the secret text '.repeat(50_000))), ...put(2, Buffer.from('short'))];
  await sealed(store, 'a', [old]).append(records, never);
  const visible = JSON.stringify(
    store.records.map(({ key, value, headers }) => [key, Buffer.from(value ?? []).toString('latin1'), headers]),
  );
  for (const word of ['document', 'Müller', 'secret text', 'custom', 'cloudevents', 'zstd', old]) assert.ok(!visible.includes(word), word);
  assert.ok(visible.includes('"docbus-replica":"a"'));
  const read = await sealed(store, 'b', [old]).read(undefined, limits, never);
  assert.deepEqual(
    read.map(({ key, value, headers }) => ({ key, value: Buffer.from(value ?? []), headers })),
    records.map(({ key, value, headers }) => ({ key, value: Buffer.from(value ?? []), headers })),
  );
});

test('a newer change and a null value replace what the log holds under their key, parts included', async () => {
  const store = newStore();
  const log = sealed(store, 'a', [old]);
  const large = Buffer.from(Array.from({ length: 600_000 }, (_, i) => (i * 7919) % 251));
  const first = put(1, large);
  assert.equal(first.length, 3);
  await log.append(first, never);
  await sealed(store, 'b', [old]).append([...dropParts(documentKey(path), sha256(large), 2), ...put(2, Buffer.from('x'))], never);
  compactMemoryStore(store);
  assert.deepEqual(await outcomes(log), [2]);
});

test('equal content is never sealed to equal bytes', async () => {
  const store = newStore();
  const log = sealed(store, 'a', [old]);
  await log.append([...put(1, Buffer.from('x')), ...put(1, Buffer.from('x'))], never);
  const [one, two] = store.records;
  assert.equal(one?.key, two?.key);
  assert.notDeepEqual(one?.value, two?.value);
});

test('everything about one document has one place in a log of several partitions, and documents spread', async () => {
  const store = newStore();
  const log = sealed(store, 'a', [old]);
  const about = (name: string): LogRecord[] =>
    [
      `document/f/${name}.json`,
      `embedding/f/${name}.json`,
      `membership/w/f/${name}.json`,
      `part/embedding/f/${name}.json/${sha256('x')}/3`,
    ].map((key) => ({
      key,
      value: Buffer.of(1),
      headers: {},
    }));
  const places = new Set<number>();
  for (let i = 0; i < 40; i++) {
    await log.append(about(`n${i}`), never);
    const partitions = store.records.slice(-4).map(({ key }) => partitionOf(key, 8));
    assert.equal(new Set(partitions).size, 1);
    places.add(partitions[0] as number);
  }
  assert.ok(places.size >= 6, `${places.size} of 8 partitions`);
});

test('a reader without the secret, with another or without any is told who sealed the record', async () => {
  const store = newStore();
  await sealed(store, 'replica-1', [old]).append(put(1, Buffer.from('x')), never);
  for (const reader of [openMemoryLog(store), sealed(store, 'b', [fresh])]) {
    const [words] = await outcomes(reader);
    assert.match(
      String(words),
      /^The replica replica-1 appended a record that is sealed with a secret this replica does not have \([0-9a-f]{16}\)/,
    );
    assert.match(String(words), /DOCBUS_SECRET/);
  }
});

test('an unsealed record in a sealed log is refused, with the name of who appended it, and what is sealed beside it is read', async () => {
  const store = newStore();
  await openMemoryLog(store).append(put(1, Buffer.from('x')), never);
  await sealed(store, 'b', [old]).append(put(2, Buffer.from('y')), never);
  const [words, revision] = await outcomes(sealed(store, 'b', [old]));
  assert.match(String(words), /^The replica a appended the record "document\/custom-documents\/Kündigung Müller.json" without sealing it/);
  assert.equal(revision, 2);
});

test('a record that was changed, cut, put under another key or in another name is refused', async () => {
  const store = newStore();
  const log = sealed(store, 'a', [old]);
  await log.append([...put(1, Buffer.from('x')), ...put(1, Buffer.from('y'), documentKey(parseDocPath('f/other.json')))], never);
  const [record, other] = store.records as unknown as [LogRecord, LogRecord];
  const value = record.value as Uint8Array;
  const flipped = (index: number): Uint8Array => value.map((byte, i) => (i === index ? byte ^ 1 : byte));
  const forgeries: LogRecord[] = [
    { ...record, value: flipped(value.length - 1) },
    { ...record, value: flipped(40) },
    { ...record, value: flipped(13) },
    { ...record, value: value.subarray(0, -1) },
    { ...record, value: value.subarray(0, 20) },
    { ...record, value: new Uint8Array() },
    { ...record, key: other.key },
    { ...record, headers: { ...record.headers, 'docbus-replica': 'b' } },
    { ...record, headers: {} },
  ];
  for (const forgery of forgeries) {
    const forged = newStore();
    await openMemoryLog(forged).append([forgery], never);
    const [words] = await outcomes(sealed(forged, 'b', [old]));
    assert.match(String(words), /is not what was sealed/);
  }
  assert.deepEqual(await outcomes(log), [1, 1]);
});

test('secrets are rotated without a pause: all replicas learn the new one, then all seal with it', async () => {
  const store = newStore(true);
  const before = sealed(store, 'a', [old]);
  const learnt = sealed(store, 'b', [old, fresh]);
  const rotated = sealed(store, 'c', [fresh, old]);
  await before.append(put(1, Buffer.from('x')), never);
  await rotated.append(put(2, Buffer.from('y'), documentKey(parseDocPath('f/other.json'))), never);
  assert.deepEqual(await outcomes(learnt), [1, 2]);
  assert.deepEqual(await outcomes(rotated), [1, 2]);
  assert.equal((await outcomes(before))[0], 1);
});

test('while two secrets are in force a key is still in the log once, whichever of them sealed it', async () => {
  for (const compactsAtAppend of [true, false]) {
    const store = newStore(compactsAtAppend);
    await sealed(store, 'a', [old]).append(put(1, Buffer.from('x')), never);
    await sealed(store, 'b', [fresh, old]).append(put(2, Buffer.from('y')), never);
    if (!compactsAtAppend) compactMemoryStore(store);
    assert.equal(store.records.length, 1);
    await sealed(store, 'c', [old, fresh]).append(put(3, Buffer.from('z')), never);
    if (!compactsAtAppend) compactMemoryStore(store);
    assert.deepEqual(await outcomes(sealed(store, 'd', [old, fresh])), [3]);
  }
});

test('after the old secret is gone everything sealed with the new one still opens', async () => {
  const store = newStore(true);
  await sealed(store, 'a', [fresh, old]).append(put(1, Buffer.from('x')), never);
  assert.deepEqual(await outcomes(sealed(store, 'a', [fresh])), [1]);
});

test('the largest record that a sealed log says it takes is taken, with the longest key', async () => {
  const store = newStore();
  const log = sealed(store, 'r'.repeat(64), [old]);
  const key = `document/${'"'.repeat(4000)}`;
  await log.append([{ key, value: new Uint8Array(log.recordBytesMax - key.length), headers: {} }], never);
  const tooLarge = { key, value: new Uint8Array(log.recordBytesMax - key.length + 1), headers: {} };
  await assert.rejects(
    log.append([tooLarge], never),
    (error) => isDocbusError(error, 'record_too_large') && error.message.includes('document/'),
  );
  assert.equal(store.records.length, 1);
  assert.ok(isSealedKey(store.records[0]?.key ?? ''));
});

test('secrets stand one per line or between commas, and a wrong list is described without telling a secret', () => {
  assert.deepEqual(splitSecrets(`${fresh}\n${old}\r\n\n`), [fresh, old]);
  assert.deepEqual(splitSecrets(` ${fresh} , ${old}`), [fresh, old]);
  assert.equal(secretsProblem(`${fresh},${old}`), undefined);
  assert.match(secretsProblem('') ?? '', /holds no secret/);
  assert.match(secretsProblem(`${fresh},short`) ?? '', /\(2 of 2\) of 5 characters; 32 to 1024 are needed/);
  assert.match(secretsProblem(`${old}ü`) ?? '', /other than printable ASCII/);
  assert.match(secretsProblem(`${old} ${fresh}`) ?? '', /other than printable ASCII/);
  assert.match(secretsProblem(`${old},${old}`) ?? '', /twice/);
  assert.match(secretsProblem(Array.from({ length: 9 }, (_, i) => `${i}${old}`).join()) ?? '', /9 secrets/);
  assert.ok(!(secretsProblem(`${old}ü`) ?? '').includes(old));
});
