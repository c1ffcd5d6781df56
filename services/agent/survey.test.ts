import assert from 'node:assert/strict';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { documentKey, embeddingKey, type DocPath, type Slug } from '@docbus/core';
import { openTestAgent, plainWorkspace } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const docId = '11111111-1111-4111-8111-111111111111';

/** An agent that has published one embedded document, what it looks at since, and AnythingLLM's own connection. */
async function arrange(t: TestContext) {
  const looks = { caches: 0, rows: 0, pins: 0 };
  let [now, pinsTakeMs] = [Date.now(), 0];
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => {
    const { caches, records } = options.replica;
    const counted = {
      ...options.replica,
      caches: { ...caches, signature: (of: DocPath) => ((looks.caches += 1), caches.signature(of)) },
      records: {
        ...records,
        eachMembership: (...args: Parameters<typeof records.eachMembership>) => ((looks.rows += 1), records.eachMembership(...args)),
        pinsMark: () => {
          looks.pins += 1;
          now += pinsTakeMs;
          return records.pinsMark();
        },
      },
    };
    return { ...options, replica: counted, clock: { ...options.clock, now: () => now } };
  });
  const { records, caches } = agent.context.replica;
  const embedding = { dimensions: 2, texts: ['about it'], metadatas: [{ title: 'Page' }], vectors: Float32Array.of(0.5, 0.5) };
  const document = join(storageDir, 'documents', path);
  writeFileSync(document, JSON.stringify({ title: 'Page', pageContent: 'about it' }));
  caches.write(path, embedding, ['v1']);
  // What was written just now would be looked at once more.
  const old = new Date(Date.now() - 60_000);
  for (const file of [document, join(storageDir, 'vector-cache', caches.name(path))]) utimesSync(file, old, old);
  records.putWorkspace(slug, plainWorkspace);
  records.setMemberships([{ slug, path, copies: [{ docId, pinned: false }], expected: [], metadata: '{}' }]);
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  await turn();
  assert.equal(manifest.entry(embeddingKey(path))?.state, 'present');
  const app = new DatabaseSync(join(storageDir, 'anythingllm.db'));
  t.after(() => app.close());
  const sweep = async (): Promise<typeof looks> => {
    Object.assign(looks, { caches: 0, rows: 0, pins: 0 });
    agent.hint({ sweep: true });
    await turn();
    return { ...looks };
  };
  const wait = (ms: number): void => void (now += ms);
  return { manifest, document, app, sweep, turn, looks, wait, makePinsSlow: (ms: number) => void (pinsTakeMs = ms) };
}

test('a sweep looks at caches and rows where the database changed, and at documents always', async (t) => {
  const { sweep, app, document, manifest, wait } = await arrange(t);
  const first = await sweep();
  assert.ok(first.caches > 0 && first.rows > 0, 'nobody has swept before');
  assert.deepEqual(await sweep(), { caches: 0, rows: 0, pins: 0 });
  wait(60 * 60 * 1000);
  const hourly = await sweep();
  assert.ok(hourly.caches > 0 && hourly.rows > 0, 'after an hour in any case');
  assert.deepEqual(await sweep(), { caches: 0, rows: 0, pins: 0 });
  app.exec("insert into event_logs (event) values ('something_happened')");
  const changed = await sweep();
  assert.ok(changed.caches > 0 && changed.rows > 0);
  const before = manifest.entry(documentKey(path))?.version.revision ?? 0;
  writeFileSync(document, JSON.stringify({ title: 'Page', pageContent: 'about something else' }));
  await sweep();
  assert.equal(manifest.entry(documentKey(path))?.version.revision, before + 1);
});

test('where looking at all pins takes long it is not done after each change, and a pin is seen all the same', async (t) => {
  const { app, looks, turn, wait, makePinsSlow, manifest } = await arrange(t);
  const chat = async (): Promise<void> => {
    app.exec("insert into event_logs (event) values ('sent_chat')");
    await turn();
  };
  makePinsSlow(10);
  await chat();
  looks.pins = 0;
  for (let messages = 0; messages < 5; messages++) await chat();
  assert.equal(looks.pins, 0);
  app.exec('update workspace_documents set pinned = true');
  await turn();
  assert.equal(looks.pins, 0);
  wait(1000);
  await turn();
  assert.equal(looks.pins, 1);
  assert.match(JSON.stringify([...manifest.entries()].filter(({ key }) => key.startsWith('membership/'))), /"pinned":true/);
});
