import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { documentKey, isDocbusError, parseDocPath, sha256, type Change, type ErrorCode } from '@docbus/core';
import { createSealedLog, decodeRecord, dropParts, openLog, recordsOf } from '@docbus/log';
import { compactMemoryStore, createMemoryStore, openMemoryLog, recreateMemoryStore, type MemoryStore } from '@docbus/log/memory.ts';
import type { Log, LogRecord } from '@docbus/log/port.ts';
import { systemClock } from '@docbus/runtime';
import { copyLogs } from './copy.ts';
import { main } from './main.ts';

const never = new AbortController().signal;
const all = { recordsMax: 100_000, bytesMax: 1 << 30 };
const secret = 'a-secret-a-secret-a-secret-a-secret';
const other = 'another-secret-another-secret-another';

const newStore = (): MemoryStore => createMemoryStore({ clock: systemClock });

/** A document of so many bytes that cannot be compressed, by one replica. */
function put(
  name: string,
  revision: number,
  bytes = 10,
  replica = 'a',
): { readonly change: Change; readonly records: LogRecord[]; readonly drop: LogRecord[] } {
  const packed = Buffer.alloc(bytes, `${name} ${revision} ${replica} `);
  const change: Change = {
    key: documentKey(parseDocPath(`f/${name}.json`)),
    version: { revision, replica },
    base: {},
    hash: sha256(packed),
    instance: 'i',
    time: 1,
    state: 'present',
    content: { bytes },
  };
  const records = recordsOf(change, packed);
  return { change, records, drop: dropParts(change.key, change.hash, records.length - 1) };
}

const append = async (store: MemoryStore, ...puts: readonly { readonly records: readonly LogRecord[] }[]): Promise<void> =>
  await openMemoryLog(store).append(
    puts.flatMap(({ records }) => records),
    never,
  );

async function copy(source: Log, target: Log): Promise<{ readonly code: number; readonly text: string }> {
  const lines: string[] = [];
  const code = await copyLogs({ source, target, follow: false, print: (text) => lines.push(text), clock: systemClock }, never);
  return { code, text: lines.join('\n') };
}

/** The changes of a log in their order as `name revision@replica`, each only with all its parts before it. */
async function holds(log: Log): Promise<string[]> {
  const records = await log.read(undefined, all, never);
  const parts = new Set<string>();
  return records.flatMap((record) => {
    const decoded = decodeRecord(record);
    if (decoded.type === 'part') parts.add(`${decoded.hash}/${decoded.index}`);
    if (decoded.type !== 'change') return [];
    const { key, version, hash } = decoded.change;
    const wanted = decoded.payload.type === 'parts' ? decoded.payload.parts : 0;
    for (let index = 0; index < wanted; index++) assert.ok(parts.has(`${hash}/${index}`), `part ${index} of ${key}`);
    return [`${/(\w+)\.json$/.exec(key)?.[1]} ${version.revision}@${version.replica}`];
  });
}

const partKeys = (store: MemoryStore): string[] =>
  store.records.flatMap(({ key, value }) => (key.startsWith('part/') && value !== null ? [key] : []));

test('only what wins is copied, with its parts before it', async () => {
  const source = newStore();
  const first = put('x', 1, 1_200_000);
  const second = put('x', 2, 600_000);
  const late = put('y', 1, 10, 'a');
  await append(source, first, put('y', 2, 10, 'b'), { records: first.drop }, second, late, put('z', 1));
  const target = newStore();
  const { code, text } = await copy(openMemoryLog(source), openMemoryLog(target));
  assert.equal(code, 0);
  assert.match(text, /^Copied 3 changes \(5 records, .* KB\) in \d+ s; 0 were in memory: already\.$/m);
  assert.deepEqual(await holds(openMemoryLog(target)), ['y 2@b', 'x 2@a', 'z 1@a']);
  assert.equal(partKeys(target).length, 2);
  assert.ok(target.records.every(({ value }) => value !== null));
});

test('what is copied is the same, byte for byte', async () => {
  const source = newStore();
  await append(source, put('x', 1, 1_200_000), put('y', 1));
  const target = newStore();
  await copy(openMemoryLog(source), openMemoryLog(target));
  const bytes = (store: MemoryStore) => store.records.map(({ key, value, headers }) => ({ key, value: Buffer.from(value ?? []), headers }));
  assert.deepEqual(bytes(target), bytes(source));
});

test('a copy that is repeated appends only what is new, and drops the parts that this makes useless', async () => {
  const source = newStore();
  await append(source, put('x', 1, 600_000), put('y', 1));
  const target = newStore();
  await copy(openMemoryLog(source), openMemoryLog(target));
  const before = target.last;
  assert.match((await copy(openMemoryLog(source), openMemoryLog(target))).text, /Copied 0 changes .* 2 were in/);
  assert.equal(target.last, before);
  await append(source, put('x', 2, 700_000));
  assert.match((await copy(openMemoryLog(source), openMemoryLog(target))).text, /Copied 1 change .* 1 were in/);
  compactMemoryStore(target);
  assert.deepEqual(await holds(openMemoryLog(target)), ['y 1@a', 'x 2@a']);
  assert.equal(partKeys(target).length, 2);
});

test('what the target has better is left alone', async () => {
  const source = newStore();
  await append(source, put('x', 1), put('y', 5));
  const target = newStore();
  await append(target, put('x', 7), put('y', 5, 10, 'b'));
  const before = target.last;
  await copy(openMemoryLog(source), openMemoryLog(target));
  assert.equal(target.last, before);
});

test('a copy that was interrupted anywhere is completed by the next one', async () => {
  const source = newStore();
  await append(source, ...Array.from({ length: 4 }, (_, i) => put(`n${i}`, 1, 1_600_000)));
  const whole = newStore();
  await copy(openMemoryLog(source), openMemoryLog(whole));
  for (let records = 0; records < whole.last; records += 3) {
    const target = newStore();
    const cut = openMemoryLog(target);
    const broken: Log = {
      ...cut,
      append: async (batch, signal) => {
        const room = Math.max(records - target.last, 0);
        await cut.append(batch.slice(0, room), signal);
        if (batch.length > room) throw new Error('cut off');
      },
    };
    await assert.rejects(copy(openMemoryLog(source), broken), /cut off/);
    assert.equal((await copy(openMemoryLog(source), openMemoryLog(target))).code, 0);
    assert.deepEqual(await holds(openMemoryLog(target)), await holds(openMemoryLog(whole)));
  }
});

test('a change whose parts are gone is named and not copied, and is copied where they come again', async () => {
  const source = newStore();
  const large = put('x', 1, 600_000);
  await append(source, { records: large.records.slice(-1) }, put('y', 1));
  const target = newStore();
  const { code, text } = await copy(openMemoryLog(source), openMemoryLog(target));
  assert.equal(code, 1);
  assert.match(text, /^1 change could not be copied because parts are gone/m);
  assert.deepEqual(await holds(openMemoryLog(target)), ['y 1@a']);
  await append(source, large);
  assert.equal((await copy(openMemoryLog(source), openMemoryLog(target))).code, 0);
  assert.deepEqual(await holds(openMemoryLog(target)), ['y 1@a', 'x 1@a']);
});

test('records that cannot be read are counted and named, and the others are copied', async () => {
  const source = newStore();
  await append(source, put('x', 1), { records: [{ key: 'document/f/y.json', value: Buffer.from('garbage'), headers: {} }] });
  const target = newStore();
  const { code, text } = await copy(openMemoryLog(source), openMemoryLog(target));
  assert.equal(code, 1);
  assert.match(text, /^1 record of memory: could not be read and was not copied:\n {2}record_malformed: The record "document\/f\/y.json"/m);
  assert.deepEqual(await holds(openMemoryLog(target)), ['x 1@a']);
});

const sealed = (store: MemoryStore, ...secrets: string[]): Log =>
  secrets.length === 0 ? openMemoryLog(store) : createSealedLog(openMemoryLog(store), { secrets, replica: 'a', clock: systemClock });

test('sealed or not, any log is copied into any, and sealed anew under another secret', async () => {
  for (const from of [[], [secret]])
    for (const to of [[], [secret], [other]]) {
      const source = newStore();
      await sealed(source, ...from).append([...put('x', 1, 600_000).records, ...put('y', 1).records], never);
      const target = newStore();
      assert.equal((await copy(sealed(source, ...from), sealed(target, ...to))).code, 0);
      assert.deepEqual(await holds(sealed(target, ...to)), ['x 1@a', 'y 1@a']);
      assert.equal(JSON.stringify(target.records.map(({ key }) => key)).includes('document'), to.length === 0);
    }
});

test('with a wrong secret or none on either side nothing is copied', async () => {
  const logs = newStore();
  await sealed(logs, secret).append(put('x', 1).records, never);
  const plain = newStore();
  await append(plain, put('x', 1));
  const cases = [
    [sealed(logs), '--from-secret-file'],
    [sealed(logs, other), '--from-secret-file'],
    [sealed(plain, secret), '--from-secret-file'],
  ] as const;
  for (const [log, option] of cases) {
    const target = newStore();
    await assert.rejects(copy(log, openMemoryLog(target)), fails('config_invalid', new RegExp(`cannot be opened .* ${option}`)));
    assert.equal(target.last, 0);
  }
  const source = newStore();
  await append(source, put('z', 1));
  for (const log of [sealed(logs), sealed(logs, other), sealed(plain, secret)])
    await assert.rejects(copy(openMemoryLog(source), log), fails('config_invalid', /--to-secret-file/));
  assert.deepEqual([logs.last, plain.last], [1, 1]);
});

const fails = (code: ErrorCode, words: RegExp) => (error: unknown) => isDocbusError(error, code) && words.test(error.message);

/** A copy that follows, ended with the test. */
function bridge(t: TestContext, source: MemoryStore, target: MemoryStore): string[] {
  const stop = new AbortController();
  const lines: string[] = [];
  const running = copyLogs(
    { source: openMemoryLog(source), target: openMemoryLog(target), follow: true, print: (text) => lines.push(text), clock: systemClock },
    stop.signal,
  );
  t.after(async () => {
    stop.abort();
    await running;
  });
  return lines;
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 10_000; !(await condition());) {
    if (performance.now() > deadline) throw new Error(`not within 10 s: ${what}`);
    await pause(5);
  }
}

const holdsAll = async (store: MemoryStore, ...wanted: string[]): Promise<boolean> => {
  const held = new Set(await holds(openMemoryLog(store)));
  return wanted.every((change) => held.has(change));
};

test('two bridges in opposite directions join two logs, and nothing goes round', async (t) => {
  const east = newStore();
  const west = newStore();
  await append(east, put('x', 1, 600_000), put('both', 1));
  await append(west, put('y', 1), put('both', 1, 10, 'b'));
  bridge(t, east, west);
  bridge(t, west, east);
  await until(
    'both to hold what there was',
    async () => (await holdsAll(east, 'x 1@a', 'y 1@a', 'both 1@b')) && (await holdsAll(west, 'x 1@a', 'y 1@a', 'both 1@b')),
  );
  for (let i = 0; i < 20; i++) {
    await append(i % 2 === 0 ? east : west, put(`n${i}`, 1, i % 3 === 0 ? 600_000 : 10));
    await append(i % 2 === 0 ? west : east, put('contested', i + 1, 10, i % 2 === 0 ? 'w' : 'e'));
  }
  const wanted = [...Array.from({ length: 20 }, (_, i) => `n${i} 1@a`), 'contested 20@e'];
  await until('both to hold what came', async () => (await holdsAll(east, ...wanted)) && (await holdsAll(west, ...wanted)));
  await append(east, put('last', 1));
  await until('the last one to arrive', async () => await holdsAll(west, 'last 1@a'));
  for (const store of [east, west]) {
    const seen = await holds(openMemoryLog(store));
    assert.equal(new Set(seen).size, seen.length, 'a change is in the log once');
  }
});

test('a bridge whose target is made anew fills it again', async (t) => {
  const source = newStore();
  const target = newStore();
  await append(source, put('x', 1));
  const lines = bridge(t, source, target);
  await until('the first copy', async () => await holdsAll(target, 'x 1@a'));
  recreateMemoryStore(target);
  await append(source, put('y', 1));
  await until('everything in the new log', async () => await holdsAll(target, 'x 1@a', 'y 1@a'));
  assert.ok(lines.some((line) => line.startsWith('Starting over: ')));
});

async function run(args: readonly string[], signal: AbortSignal = never) {
  const lines: string[] = [];
  const code = await main(['copy', ...args], { environment: {}, print: (text) => lines.push(text), signal });
  return { code: code ?? 0, text: lines.join('\n') };
}

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-copy-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('the command copies one file into another, sealed on the way, and back', async (t) => {
  const directory = scratch(t);
  const [from, middle, back] = ['from', 'middle', 'back'].map((name) => `sqlite:${join(directory, name)}`) as [string, string, string];
  const key = join(directory, 'key');
  writeFileSync(key, `${secret}\n`);
  {
    await using log = await openLog(from, { replica: 'a', clock: systemClock }, never);
    await log.append([...put('x', 1, 600_000).records, ...put('y', 1).records], never);
  }
  assert.deepEqual((await run(['--from', from, '--to', middle, '--to-secret-file', key])).code, 0);
  assert.deepEqual((await run(['--from', middle, '--from-secret-file', key, '--to', back])).code, 0);
  await using log = await openLog(back, { replica: 'a', clock: systemClock }, never);
  assert.deepEqual(await holds(log), ['x 1@a', 'y 1@a']);
});

test('--follow goes on until it is asked to stop', async (t) => {
  const directory = scratch(t);
  const [from, to] = [`sqlite:${join(directory, 'from')}`, `sqlite:${join(directory, 'to')}`];
  await using source = await openLog(from, { replica: 'a', clock: systemClock }, never);
  await using target = await openLog(to, { replica: 'a', clock: systemClock }, never);
  await source.append(put('x', 1).records, never);
  const stop = new AbortController();
  const running = run(['--from', from, '--to', to, '--follow'], stop.signal);
  await until('the first', async () => (await holds(target)).includes('x 1@a'));
  await source.append(put('y', 1).records, never);
  await until('the second', async () => (await holds(target)).includes('y 1@a'));
  stop.abort();
  assert.equal((await running).code, 0);
});

test('wrong usage is told before anything is touched', async (t) => {
  const directory = scratch(t);
  const from = `sqlite:${join(directory, 'from')}`;
  const to = `sqlite:${join(directory, 'to')}`;
  const refuses = async (words: RegExp, ...args: string[]): Promise<void> =>
    await assert.rejects(run(args), fails('config_invalid', words));
  await refuses(/needs --from LOG and --to LOG/, '--from', from);
  await refuses(/there is no file .*from/, '--from', from, '--to', to);
  await refuses(/not the address of a log/, '--from', 'ftp://x', '--to', to);
  await refuses(/no Kafka topic/, '--from', 'kafka://b:9092', '--to', to);
  {
    await using log = await openLog(from, { replica: 'a', clock: systemClock }, never);
    await log.append(put('x', 1).records, never);
  }
  await refuses(/not the address of a log/, '--from', from, '--to', 'memory:');
  await refuses(/there is no directory .*nodir/, '--from', from, '--to', `sqlite:${join(directory, 'nodir', 'b.db')}`);
  await refuses(/are the same log/, '--from', from, '--to', from);
  await refuses(/cannot be read/, '--from', from, '--to', to, '--to-secret-file', join(directory, 'none'));
  writeFileSync(join(directory, 'key'), 'short');
  await refuses(/of 5 characters/, '--from', from, '--to', to, '--to-secret-file', join(directory, 'key'));
  await refuses(/Did you mean --follow/, '--from', from, '--to', to, '--folow');
});
