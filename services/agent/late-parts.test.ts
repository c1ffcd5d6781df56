import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { documentKey, isDocbusError, sha256, type Change, type DocPath } from '@docbus/core';
import { packPayload, recordsOf } from '@docbus/log';
import { openTestAgent } from './agent-for-tests.ts';

const never = new AbortController().signal;
const path = 'f/large.json' as DocPath;

const changeOf = (bytes: Uint8Array, revision: number): Change => ({
  key: documentKey(path),
  version: { revision, replica: 'b' },
  base: {},
  state: 'present',
  hash: sha256(bytes),
  content: { bytes: bytes.length },
  instance: 'b',
  time: 0,
});

test('parts that come after their change complete it', async (t) => {
  const { agent, manifest, storageDir } = openTestAgent(t);
  const bytes = Buffer.from(JSON.stringify({ pageContent: randomBytes(1_200_000).toString('hex') }));
  const change = changeOf(bytes, 1);
  const [first, ...rest] = recordsOf(change, packPayload(bytes)).toReversed();
  assert.ok(first !== undefined && rest.length > 1, 'the change is the last of several records');
  const { log } = agent.context;
  await log.append([first], never);
  const turn = async (): Promise<void> => {
    while ((await agent.consumeOnce(never)).more);
  };
  await turn();
  assert.deepEqual(
    manifest.quarantined().map(({ code }) => code),
    ['parts_missing'],
  );
  await log.append(rest.slice(1), never);
  await turn();
  assert.equal(manifest.quarantinedCount(), 1, 'not all of them');
  await log.append(rest.slice(0, 1), never);
  await turn();
  assert.equal(manifest.quarantinedCount(), 0);
  assert.deepEqual(readFileSync(join(storageDir, 'documents', path)), bytes);
  assert.equal(manifest.parts(change.key, change.hash).size, 0);
});

test('of two versions that wait, only the newer is completed', async (t) => {
  const { agent, manifest, storageDir } = openTestAgent(t);
  const versions = [6, 5].map((revision) => {
    const bytes = Buffer.from(JSON.stringify({ revision, pageContent: randomBytes(600_000).toString('hex') }));
    const [last, ...parts] = recordsOf(changeOf(bytes, revision), packPayload(bytes)).toReversed();
    assert.ok(last !== undefined && parts.length > 0);
    return { bytes, last, parts };
  });
  const { log } = agent.context;
  const turn = async (): Promise<void> => {
    while ((await agent.consumeOnce(never)).more);
  };
  for (const { last } of versions) await log.append([last], never);
  await turn();
  for (const { parts } of versions.toReversed()) {
    await log.append(parts, never);
    await turn();
  }
  assert.equal(manifest.entry(documentKey(path))?.version.revision, 6);
  assert.deepEqual(readFileSync(join(storageDir, 'documents', path)), versions[0]?.bytes);
  assert.equal(manifest.quarantinedCount(), 0);
});

test('an edit that stands in the way of late parts is published, and nothing else waits for it', async (t) => {
  const { agent, manifest, storageDir } = openTestAgent(t);
  const bytes = Buffer.from(JSON.stringify({ pageContent: randomBytes(600_000).toString('hex') }));
  const [last, ...parts] = recordsOf(changeOf(bytes, 1), packPayload(bytes)).toReversed();
  const { log } = agent.context;
  await log.append(last === undefined ? [] : [last], never);
  await agent.consumeOnce(never);
  writeFileSync(join(storageDir, 'documents', path), JSON.stringify({ pageContent: 'edited here' }));
  await log.append(parts, never);
  for (let turns = 0; turns < 6; turns++)
    for (const step of [agent.consumeOnce, agent.publishOnce])
      await step(never).catch((error: unknown) => assert.ok(isDocbusError(error, 'aborted')));
  const entry = manifest.entry(documentKey(path));
  assert.deepEqual([entry?.version, entry?.state], [{ revision: 2, replica: 'a' }, 'present']);
});
