import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { documentKey, sha256, type Change, type DocPath } from '@docbus/core';
import { recordsOf } from '@docbus/log';
import { packPayload } from '@docbus/log/payload.ts';
import { openTestAgent } from './agent-for-tests.ts';

const never = new AbortController().signal;
const key = documentKey('f/a.json' as DocPath);

test('a conflict that was dismissed is not listed again, nor its file written again, when the log is read again', async (t) => {
  const { agent, manifest } = openTestAgent(t);
  const { log } = agent.context;
  for (const replica of ['b', 'c']) {
    const bytes = Buffer.from(`{"by":"${replica}"}`);
    const change: Change = {
      key,
      version: { revision: 1, replica },
      base: {},
      hash: sha256(bytes),
      instance: replica,
      time: 0,
      state: 'present',
      content: { bytes: bytes.length },
    };
    await log.append(recordsOf(change, packPayload(bytes)), never);
  }
  await agent.consumeOnce(never);
  const [{ id, loser, file } = assert.fail('no conflict was listed')] = manifest.conflicts();
  assert.equal(loser, '1@b');
  assert.match(id, /^[0-9a-f]{16}$/);
  rmSync(file!);
  assert.equal(agent.dismissConflicts(new Set([id]), false), 1);
  agent.startOver('asked');
  await agent.consumeOnce(never);
  assert.deepEqual([manifest.conflictCount(), existsSync(file!)], [0, false]);
});
