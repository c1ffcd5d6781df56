import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { documentKey, sha256, type Change, type DocPath } from '@docbus/core';
import { packPayload, recordsOf } from '@docbus/log';
import { openTestAgent } from './agent-for-tests.ts';

const never = new AbortController().signal;
const path = 'f/large.json' as DocPath;

test('parts that come after their change complete it', async (t) => {
  const { agent, manifest, storageDir } = openTestAgent(t);
  const bytes = Buffer.from(JSON.stringify({ pageContent: randomBytes(1_200_000).toString('hex') }));
  const change: Change = {
    key: documentKey(path),
    version: { revision: 1, replica: 'b' },
    base: {},
    state: 'present',
    hash: sha256(bytes),
    content: { bytes: bytes.length },
    instance: 'b',
    time: 0,
  };
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
