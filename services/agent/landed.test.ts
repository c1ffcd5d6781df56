import assert from 'node:assert/strict';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { contentHash, isDocbusError, workspaceKey, type Change, type Slug } from '@docbus/core';
import { recordsOf } from '@docbus/log';
import { createTestDatabase } from '@docbus/replica/database-for-tests.ts';
import type { Vectors } from '@docbus/replica/port.ts';
import { openTestAgent, plainWorkspace } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;

test('what was written into a database that took the place of the right one for a moment is not taken for removed (seed 798)', async (t) => {
  let meanwhile = (): void => {};
  const { agent, manifest, storageDir } = openTestAgent(t, (options) => {
    const { vectors } = options.replica;
    const interrupted: Vectors = {
      ...vectors,
      removeCollection: async (name, signal) => {
        await vectors.removeCollection(name, signal);
        meanwhile();
      },
    };
    return { ...options, replica: { ...options.replica, vectors: interrupted } };
  });
  const { records } = agent.context.replica;
  const database = join(storageDir, 'anythingllm.db');
  const right = new DatabaseSync(database);
  right.exec("insert into event_logs (event) values ('workspace_created')");
  right.close();
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  await turn();

  meanwhile = () => {
    meanwhile = () => {};
    renameSync(database, `${database}.away`);
    createTestDatabase(database).close();
  };
  const change: Change = {
    key: workspaceKey(slug),
    version: { revision: 1, replica: 'b' },
    base: {},
    state: 'present',
    content: plainWorkspace,
    hash: contentHash(plainWorkspace),
    instance: 'b',
    time: 0,
  };
  await agent.context.log.append(recordsOf(change, undefined), never);
  await assert.rejects(agent.consumeOnce(never), (error) => isDocbusError(error, 'storage_replaced'));
  assert.notEqual(records.workspace(slug), undefined, 'it went into the wrong one');

  rmSync(database);
  renameSync(`${database}.away`, database);
  agent.hint({ all: true });
  await turn();
  assert.deepEqual(records.workspace(slug), plainWorkspace);
  assert.equal(manifest.entry(workspaceKey(slug))?.state, 'present');
});
