import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DocbusError, isDocbusError, membershipKey, workspaceKey, type Change, type DocPath, type Slug } from '@docbus/core';
import { recordsOf } from '@docbus/log';
import type { Records } from '@docbus/replica/port.ts';
import { openTestAgent } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const [early, late] = ['f/early.json', 'f/late.json'] as [DocPath, DocPath];

test('what is embedded into a workspace while that is being removed is published before it goes', async (t) => {
  let meanwhile = (): void => {};
  const { agent, manifest, storageDir } = openTestAgent(t, (options) => {
    const { records } = options.replica;
    const interrupted: Records = {
      ...records,
      setMemberships: (writes) => {
        const refused = records.setMemberships(writes);
        meanwhile();
        return refused;
      },
    };
    return { ...options, replica: { ...options.replica, records: interrupted } };
  });
  const { records } = agent.context.replica;
  const embed = (path: DocPath, docId: string): void => {
    const write = { slug, path, copies: [{ docId, pinned: false }], expected: [], metadata: null };
    assert.deepEqual(records.setMemberships([write]), []);
    agent.hint({ all: true });
  };
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  for (const path of [early, late]) writeFileSync(join(storageDir, 'documents', path), JSON.stringify({ pageContent: path }));
  const { content } = theirs(1, 'present');
  records.putWorkspace(slug, content as never);
  embed(early, '11111111-1111-4111-8111-111111111111');
  await turn();
  assert.equal(manifest.entry(membershipKey(slug, early))?.state, 'present');

  meanwhile = () => {
    meanwhile = () => {};
    embed(late, '22222222-2222-4222-8222-222222222222');
  };
  await agent.context.log.append(recordsOf(theirs(2, 'deleted'), undefined), never);
  await assert.rejects(agent.consumeOnce(never), (error) => isDocbusError(error, 'aborted') && error.message.includes(late));
  await turn();
  assert.equal(records.workspace(slug), undefined);
  assert.equal(manifest.entry(membershipKey(slug, late))?.state, 'present', 'it comes back with the workspace');
});

function theirs(revision: number, state: 'present' | 'deleted'): Change {
  const common = { key: workspaceKey(slug), version: { revision, replica: 'b' }, base: { a: 1 }, hash: '', instance: 'b', time: 0 };
  if (state === 'deleted') return { ...common, state, content: null };
  const content = {
    name: 'W',
    openAiTemp: null,
    openAiHistory: 20,
    openAiPrompt: null,
    similarityThreshold: 0.25,
    chatModel: null,
    topN: 4,
    chatMode: 'chat',
    chatProvider: null,
    agentModel: null,
    agentProvider: null,
    queryRefusalResponse: null,
    vectorSearchMode: 'default',
  };
  return { ...common, state, content };
}

test('while Chroma is away a workspace stays whole: made anew in the middle of its removal it would take over vectors that no row knows', async (t) => {
  let isAway = true;
  const { agent, storageDir } = openTestAgent(t, (options) => {
    const { vectors } = options.replica;
    const away: typeof vectors = {
      ...vectors,
      removeCollection: (of, signal) =>
        isAway ? Promise.reject(new DocbusError('chroma_unreachable', 'It is away.')) : vectors.removeCollection(of, signal),
    };
    return { ...options, replica: { ...options.replica, vectors: away } };
  });
  const { records } = agent.context.replica;
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  const docId = '11111111-1111-4111-8111-111111111111';
  writeFileSync(join(storageDir, 'documents', early), JSON.stringify({ pageContent: early }));
  records.putWorkspace(slug, theirs(1, 'present').content as never);
  records.setMemberships([{ slug, path: early, copies: [{ docId, pinned: false }], expected: [], metadata: null }]);
  records.addVectorIds([{ docId, vectorId: 'one' }]);
  agent.hint({ all: true });
  await turn();
  await agent.context.log.append(recordsOf(theirs(2, 'deleted'), undefined), never);
  await assert.rejects(agent.consumeOnce(never), (error) => isDocbusError(error, 'chroma_unreachable'));
  assert.notEqual(records.workspace(slug), undefined);
  assert.deepEqual(records.vectorIds([docId]).get(docId), ['one']);
  isAway = false;
  await turn();
  assert.equal(records.workspace(slug), undefined);
  assert.deepEqual(records.vectorIds([docId]).get(docId), []);
});
