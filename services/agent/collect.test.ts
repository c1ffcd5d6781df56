import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DocbusError, embeddingKey, membershipKey, parseDocPath, parseSlug, workspaceKey } from '@docbus/core';
import type { Vectors } from '@docbus/replica/port.ts';
import { openTestAgent, plainWorkspace } from './agent-for-tests.ts';
import type { AgentOptions } from './context.ts';

const never = new AbortController().signal;
const slug = parseSlug('shelf');
const path = parseDocPath('f/page.json');
const docId = '0f6d1c9e-0d3c-4a55-8a41-6a3f6f3f0b11';

/** A document embedded by AnythingLLM whose cache is gone, or was cut off: its collection alone still has the vectors. */
async function arrange(t: TestContext, wrap: (vectors: Vectors) => Vectors = (vectors) => vectors) {
  let options: AgentOptions | undefined;
  const { agent, manifest, storageDir } = openTestAgent(t, (given) => {
    options = given;
    return { ...given, replica: { ...given.replica, vectors: wrap(given.replica.vectors) } };
  });
  const { records, vectors } = options!.replica;
  writeFileSync(join(storageDir, 'documents', path), JSON.stringify({ id: 'x', title: 'Page', pageContent: 'The text of the page.' }));
  records.putWorkspace(slug, plainWorkspace);
  records.setMemberships([{ slug, path, copies: [{ docId, pinned: false }], expected: [], metadata: '{}' }]);
  records.addVectorIds([{ docId, vectorId: 'v1' }]);
  const texts = ['The text of the page.'];
  await vectors.add(slug, { ids: ['v1'], vectors: new Float32Array([1, 0]), dimensions: 2, texts, metadatas: [{ title: 'Page' }] }, never);
  const step = async (): Promise<void> => {
    agent.hint({ all: true });
    await agent.consumeOnce(never);
    await agent.publishOnce(never);
  };
  return { manifest, storageDir, step, caches: options!.replica.caches };
}

test('an embedding whose cache was cut off is published from the collection', async (t) => {
  const { manifest, storageDir, step, caches } = await arrange(t);
  mkdirSync(join(storageDir, 'vector-cache'));
  writeFileSync(join(storageDir, 'vector-cache', caches.name(path)), '[[{"id":"v1","val');
  await step();
  await step();
  assert.equal(manifest.entry(embeddingKey(path))?.state, 'present');
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present');
});

test('what can only be read from a Chroma that is away waits for it, and is not published without its vectors; the rest goes on', async (t) => {
  let away = true;
  const { manifest, step } = await arrange(t, (vectors) => ({
    ...vectors,
    fetch: async (...args) => {
      if (away) throw new DocbusError('chroma_unreachable', 'Chroma does not answer.');
      return await vectors.fetch(...args);
    },
  }));
  await step();
  await step();
  assert.equal(manifest.entry(workspaceKey(slug))?.state, 'present');
  assert.equal(manifest.entry(membershipKey(slug, path)), undefined);
  away = false;
  await step();
  await step();
  assert.equal(manifest.entry(embeddingKey(path))?.state, 'present');
  assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'present');
});
