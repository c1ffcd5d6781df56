// Names and records that mean harm, or are merely broken: nothing leaves its directory, each bad thing is shown with its reason, and
// everything else goes on.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { quarantineSchema } from '@docbus/agent/api.ts';
import { sha256, type Change, type Key } from '@docbus/core';
import { recordsOf } from '@docbus/log';
import { packPayload } from '@docbus/log/payload.ts';
import type { LogRecord } from '@docbus/log/port.ts';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const bytes = Buffer.from(JSON.stringify({ title: 'Evil', pageContent: 'evil' }));

/** A document as a stranger with access to the log would publish it. */
function documentRecords(key: string, { payload = bytes, hash = sha256(payload), revision = 1 } = {}): LogRecord[] {
  const change: Change = {
    key: key as Key,
    version: { revision, replica: 'stranger' },
    base: {},
    state: 'present',
    hash,
    instance: 'a-stranger',
    time: 1_790_000_000_000,
    content: { bytes: payload.length },
  };
  return recordsOf(change, packPayload(payload));
}

/** A record whose JSON was tampered with. */
function tampered(key: string, tamper: (event: Record<string, unknown>) => unknown): LogRecord {
  const record = documentRecords(key).at(-1)!;
  return { ...record, value: Buffer.from(JSON.stringify(tamper(JSON.parse(Buffer.from(record.value!).toString('utf8')) as never))) };
}

suite('names and records that mean harm', () => {
  let cluster: Cluster;
  let a: E2eReplica;
  let b: E2eReplica;
  let outside: string;

  before(async () => {
    cluster = await startCluster({ replicas: 2, controlled: true, env: { DOCBUS_DOCUMENT_BYTES_MAX: '200000' } });
    [a, b] = cluster.replicas as [E2eReplica, E2eReplica];
    await a.app.createWorkspace('Island');
    const path = await a.app.addRawText({ title: 'Good', text: textAbout('good things', 20) });
    await a.app.embed('island', path);
    await cluster.converged({ when: ({ present }) => present.membership === 1 });
    outside = join(cluster.directory, 'outside');
    mkdirSync(outside);
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('files with names that cannot be replicated are shown as problems and left alone, the others are replicated', async () => {
    const end = await cluster.logEnd();
    const custom = join(a.storageDir, 'documents', 'custom-documents');
    const good = JSON.stringify({ title: 'Named', pageContent: 'named' });
    writeFileSync(join(outside, 'secret.json'), good);
    symlinkSync(join(outside, 'secret.json'), join(custom, 'link.json'));
    symlinkSync(outside, join(a.storageDir, 'documents', 'linked-folder'));
    writeFileSync(join(custom, 'back\\slash.json'), good);
    writeFileSync(join(custom, 'line\nbreak.json'), good);
    const noUnicode = Buffer.concat([Buffer.from(`${custom}/not-`), Buffer.from([0xff]), Buffer.from('-unicode.json')]);
    writeFileSync(noUnicode, good);
    writeFileSync(join(custom, '.hidden.json'), good);
    writeFileSync(join(custom, 'too-big.json'), JSON.stringify({ title: 'Big', pageContent: 'x'.repeat(300_000) }));
    // Two files for people who see one name, and the longest name there is: all three are fine.
    const fine = ['\u00e9tude.json', 'e\u0301tude.json', `${'n'.repeat(250)}.json`];
    for (const name of fine) writeFileSync(join(custom, name), good.replace('named', name));

    await waitFor(
      'the good ones in the log',
      async () => {
        const keys = new Set(await cluster.keysAfter(end));
        return fine.every((name) => keys.has(`document/custom-documents/${name}`));
      },
      { deadlineMs: 20_000 },
    );
    let seen: readonly string[] = [];
    await waitFor(
      'the others among the problems',
      async () => {
        seen = (await a.status()).problems;
        return ['link.json', 'linked-folder', 'slash.json', 'break.json', 'unicode.json', 'too-big.json'].every((expected) =>
          seen.some((problem) => problem.includes(expected)),
        );
      },
      { deadlineMs: 20_000 },
    ).catch((error: unknown) => assert.fail(`${(error as Error).message} ${seen.join(' | ')}`));
    assert.ok((await a.status()).ready, 'a name that cannot be replicated is no reason to be out of service');
    rmSync(noUnicode); // the stand-in's own look at the directory stumbles over it
    const there = [...(await b.app.inspect()).documents.keys()];
    assert.deepEqual(
      there.filter((path) => /link|slash|break|unicode|hidden|too-big/.test(path)),
      [],
    );
    await waitFor(
      'all three on the other replica',
      async () => {
        const { documents } = await b.app.inspect();
        return fine.every((name) => documents.has(`custom-documents/${name}`));
      },
      { deadlineMs: 20_000 },
    );
    assert.deepEqual((await cluster.keysAfter(end)).toSorted(), fine.map((name) => `document/custom-documents/${name}`).toSorted());
  });

  test('records of a hostile publisher are each quarantined with their reason, write nothing, and hold up nothing', async () => {
    // The folder of the last record is a way out, on this replica only.
    symlinkSync(outside, join(b.storageDir, 'documents', 'trap'));
    const untouched = [a, b].map(({ storageDir }) => listing(join(storageDir, '..')));
    const paths = {
      'the parent directory': 'document/../escaped.json',
      'its parent': 'document/folder/../../../escaped.json',
      'an absolute path': 'document//etc/escaped.json',
      'the directory itself': 'document/./escaped.json',
      'a NUL': 'document/custom-documents/esc\0aped.json',
      '300 bytes': `document/custom-documents/${'é'.repeat(148)}.json`,
      'a backslash': 'document/custom-documents/..\\escaped.json',
      'another depth': 'document/a/b/escaped.json',
      'another ending': 'document/custom-documents/escaped.js',
      'a temporary name': 'document/custom-documents/.escaped.json',
    };
    const records = Object.values(paths).flatMap((key) => documentRecords(key));
    const broken: LogRecord[] = [
      { key: 'document/custom-documents/no-json.json', value: Buffer.from('{ "specversion": '), headers: {} },
      { key: 'document/custom-documents/no-event.json', value: Buffer.from('[1, 2, 3]'), headers: {} },
      { key: 'document/custom-documents/binary.json', value: Buffer.from([0, 255, 254, 1, 2]), headers: {} },
      { key: 'document/custom-documents/large.json', value: Buffer.alloc(900_000, '['), headers: {} },
      { key: 'nonsense', value: Buffer.from('nonsense'), headers: {} },
      { key: 'part/document/custom-documents/x.json/nohash/0', value: Buffer.from('part'), headers: {} },
      { key: `part/document/custom-documents/x.json/${sha256('x')}/0`, value: Buffer.alloc(600_000), headers: {} },
      {
        ...tampered('document/x/x.json', (event) => ({
          ...event,
          type: 'docbus.membership.put.v1',
          subject: 'membership/../custom-documents/escaped.json',
          data: { ...(event['data'] as object), content: { copies: [{ docId: 'd', pinned: false }] }, payload: null },
        })),
        key: 'membership/../custom-documents/escaped.json',
      },
      tampered('document/custom-documents/future.json', (event) => ({ ...event, type: 'docbus.document.rename.v9' })),
      tampered('document/custom-documents/other.json', (event) => ({ ...event, subject: 'document/custom-documents/good.json' })),
      tampered('document/custom-documents/revision.json', (event) => ({
        ...event,
        data: { ...(event['data'] as object), version: { revision: -1, replica: 'stranger' } },
      })),
      ...documentRecords('document/custom-documents/wrong-hash.json', { hash: sha256('something else') }),
      ...documentRecords('document/trap/escaped.json'),
    ];
    const good = documentRecords('document/custom-documents/from-a-stranger.json');
    await cluster.append(...records, ...broken, ...good);

    // On the first replica `trap` is no symbolic link but a folder that does not exist: a document like any other.
    const expected = { [a.name]: records.length + broken.length - 1, [b.name]: records.length + broken.length };
    for (const replica of [a, b]) {
      await waitFor(
        `the quarantine of ${replica.name}`,
        async () => (await replica.status()).quarantined >= (expected[replica.name] ?? 0),
        {
          deadlineMs: 30_000,
        },
      ).catch(async (error: unknown) => {
        throw new Error(`quarantined is only ${(await replica.get('/quarantine')).text}`, { cause: error });
      });
      const { quarantine } = quarantineSchema.parse((await replica.get('/quarantine')).body);
      assert.equal(quarantine.length, expected[replica.name], quarantine.map(({ message }) => message).join('\n'));
      const codes = new Set<string>(quarantine.map(({ code }) => code));
      for (const code of ['path_refused', 'record_malformed', 'record_unknown_type', 'payload_corrupt'])
        assert.ok(codes.has(code), `none is ${code}: ${[...codes].join(', ')}`);
      assert.ok(quarantine.every(({ message }) => message.length > 20 && message.length < 1000));
      assert.equal((await replica.get('/readyz')).status, 200);
    }
    for (const { name, app } of [a, b])
      await waitFor(
        `the good record on ${name}`,
        async () => (await app.inspect()).documents.has('custom-documents/from-a-stranger.json'),
        { deadlineMs: 20_000 },
      );
    assert.deepEqual(readdirSync(outside), ['secret.json']);
    assert.equal(readFileSync(join(outside, 'secret.json'), 'utf8'), JSON.stringify({ title: 'Named', pageContent: 'named' }));
    for (const [i, replica] of [a, b].entries()) {
      assert.deepEqual(listing(join(replica.storageDir, '..')), untouched[i], 'nothing was written beside the storage');
      assert.ok(!existsSync(join(replica.storageDir, 'escaped.json')));
      const files = readdirSync(join(replica.storageDir, 'documents'), { recursive: true, encoding: 'utf8' });
      assert.deepEqual(
        files.filter((file) => file.includes('escaped') && !file.startsWith('trap/')),
        [],
      );
    }
  });

  test('after all that, edits flow in both directions', async () => {
    const end = await cluster.logEnd();
    await b.app.pin('island', (await b.app.inspect()).memberships.keys().next().value!.slice('island/'.length));
    const path = await a.app.addRawText({ title: 'Afterwards', text: textAbout('the time after', 10) });
    await waitFor(
      'the new document on the second replica, and the pin on the first',
      async () =>
        (await b.app.inspect()).documents.has(path) &&
        [...(await a.app.inspect()).memberships.values()].some(([copy]) => copy?.pinned === true),
      { deadlineMs: 20_000 },
    );
    assert.ok((await cluster.keysAfter(end)).includes(`document/${path}`));
  });
});

/** Names in a replica's directory, without what changes by itself. */
function listing(directory: string): readonly string[] {
  return readdirSync(directory).toSorted();
}
