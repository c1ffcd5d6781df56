import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test, type TestContext } from 'node:test';
import { createEmbedder } from '../embedder/index.ts';
import { startChroma, type ChromaServer } from '../servers/chroma.ts';
import { seededClock } from './clock.ts';
import { cacheName } from './names.ts';
import {
  comparable,
  createStorage,
  createTemplate,
  effectsOf,
  openAppVectors,
  openStandIn,
  runUntil,
  strays,
  type EffectName,
  type StandIn,
  type Steps,
} from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-stand-in-'));
const template = join(directory, 'template.db');
createTemplate(template);
after(() => rmSync(directory, { recursive: true, force: true }));

/** A stand-in with a storage and a Chroma of its own. */
let count = 0;
async function open(t: TestContext, seed = 'seed'): Promise<StandIn & { readonly chroma: ChromaServer }> {
  const place = join(directory, String(count++));
  createStorage(join(place, 'storage'), template);
  const chroma = await startChroma({ directory: join(place, 'chroma') });
  t.after(() => chroma.stop());
  const vectors = openAppVectors(chroma.url);
  const app = openStandIn({
    storageDir: join(place, 'storage'),
    vectors,
    embedder: createEmbedder({ dimensions: 64 }),
    clock: seededClock(seed),
    busyMs: 0,
  });
  t.after(() => app[Symbol.dispose]());
  return { ...app, chroma };
}

/** Goes on with an operation up to and including an effect. */
async function advance(steps: Steps<unknown>, done: EffectName): Promise<void> {
  for (;;) {
    const step = await steps.next();
    assert.notEqual(step.done, true, `the operation ended before "${done}"`);
    if (step.done !== true && step.value.done === done) return;
  }
}

function select(app: StandIn, sql: string): Record<string, unknown>[] {
  using database = new DatabaseSync(join(app.storageDir, 'anythingllm.db'), { readOnly: true });
  return database
    .prepare(sql)
    .all()
    .map((row) => ({ ...row }));
}

const TEXT = 'Otters hold hands while they sleep, so that they do not drift apart.\n\nA group of resting otters is called a raft.';

test('raw text becomes a document in place, seen empty and half before it is whole', async (t) => {
  const app = await open(t);
  const steps = app.steps.addRawText({ title: 'Otters.md', text: TEXT });
  const seen: string[] = [];
  let result = await steps.next();
  for (; result.done !== true; result = await steps.next()) {
    seen.push(result.value.done);
    if (result.value.done === 'document half written') {
      const half = readFileSync(join(app.storageDir, 'documents', result.value.to), 'utf8');
      assert.ok(half.length > 0);
      assert.throws(() => JSON.parse(half), SyntaxError);
    }
  }
  assert.deepEqual(seen, ['folder created', 'document truncated', 'document half written', 'document written', 'event logged']);
  assert.match(result.value, /^custom-documents\/raw-otters-[0-9a-f-]{36}\.json$/);
  const bytes = readFileSync(join(app.storageDir, 'documents', result.value), 'utf8');
  const data = JSON.parse(bytes) as Record<string, unknown>;
  assert.equal(bytes, JSON.stringify(data, null, 4));
  const fields = 'id url title docAuthor description docSource chunkSource published wordCount pageContent token_count_estimate';
  assert.deepEqual(Object.keys(data), fields.split(' '));
  assert.equal(data['title'], 'otters.txt');
  assert.match(String(data['published']), /^3\/1\/2026, 12:00:\d\d\sAM$/);
});

test('the first embedding: vectors, cache, rows of vectors, row of the document, event', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('First embedding');
  assert.equal(slug, 'first-embedding');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  assert.deepEqual(await effectsOf(app.steps.embed(slug, docpath)), [
    'document read',
    'chunks embedded',
    'collection ready',
    'vectors added',
    'cache truncated',
    'cache half written',
    'cache written',
    'vector rows added',
    'document row added',
    'event logged',
  ]);
  const [row] = select(app, 'SELECT *, typeof(createdAt) AS type FROM workspace_documents');
  const data = JSON.parse(readFileSync(join(app.storageDir, 'documents', docpath), 'utf8')) as Record<string, unknown>;
  const { pageContent: _pageContent, ...metadata } = data;
  assert.equal(row?.['metadata'], JSON.stringify(metadata));
  assert.equal(row['docpath'], docpath);
  assert.equal(row['filename'], docpath.split('/')[1]);
  assert.deepEqual([row['pinned'], row['watched'], row['type']], [0, 0, 'integer']);

  const inspection = await app.inspect();
  const [stored] = inspection.collections.get(slug) ?? [];
  assert.deepEqual(stored?.metadata, metadata);
  assert.equal(
    stored.text,
    `<document_metadata>\nsourceDocument: otters.txt\npublished: ${String(data['published'])}\n</document_metadata>\n\n${TEXT}`,
  );
  const cache = JSON.parse(readFileSync(join(app.storageDir, 'vector-cache', cacheName(docpath)), 'utf8')) as {
    id: string;
    metadata: object;
  }[][];
  assert.equal(cache.length, 1);
  assert.deepEqual(cache[0]?.[0]?.metadata, { ...metadata, text: stored.text });
  assert.equal(cache[0][0].id, stored.id);
  assert.deepEqual([...inspection.vectorIds.values()], [[stored.id]]);
});

test('the second embedding takes the cache: new ids, metadata without id and with text, no embedder', async (t) => {
  const app = await open(t);
  const [one, two] = [await app.createWorkspace('Cached one'), await app.createWorkspace('Cached two')];
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  await app.embed(one, docpath);
  const before = { ...app.embedder.calls };
  assert.deepEqual(await effectsOf(app.steps.embed(two, docpath)), [
    'document read',
    'cache read',
    'collection ready',
    'vectors added',
    'vector rows added',
    'document row added',
    'event logged',
  ]);
  assert.deepEqual(app.embedder.calls, before);
  const { collections } = await app.inspect();
  const [first] = collections.get(one) ?? [];
  const [second] = collections.get(two) ?? [];
  assert.notEqual(first?.id, second?.id);
  assert.equal(first?.text, second?.text);
  const { id: _id, ...rest } = first?.metadata ?? {};
  assert.deepEqual(second?.metadata, { ...rest, text: second?.text });
});

test('embedding twice doubles, and one removal takes the first copy', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Doubled');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  await app.embed(slug, docpath);
  await app.embed(slug, docpath);
  const doubled = await app.inspect();
  assert.equal(doubled.memberships.get(`${slug}/${docpath}`)?.length, 2);
  assert.equal(doubled.collections.get(slug)?.length, 2);
  const rows = select(app, 'SELECT docId FROM workspace_documents ORDER BY id');

  assert.deepEqual(await effectsOf(app.steps.unembed(slug, docpath)), [
    'rows read',
    'rows read',
    'vectors removed',
    'vector rows removed',
    'document row removed',
    'vector rows removed',
    'event logged',
  ]);
  const single = await app.inspect();
  assert.deepEqual(
    single.memberships.get(`${slug}/${docpath}`)?.map(({ docId }) => docId),
    [rows[1]?.['docId']],
  );
  assert.equal(single.collections.get(slug)?.length, 1);
  assert.deepEqual(strays(single), { ghosts: [], missing: [] });
});

test('a question finds its passage, and one workspace does not see the other', async (t) => {
  const app = await open(t);
  const [animals, stars] = [await app.createWorkspace('Animals'), await app.createWorkspace('Stars')];
  await app.addRawText({ title: 'otters', text: TEXT, addToWorkspaces: [animals] });
  await app.addRawText({ title: 'bears', text: 'Bears eat honey and salmon before the long winter.', addToWorkspaces: [animals] });
  await app.addRawText({ title: 'sirius', text: 'Sirius is the brightest star of the night sky.', addToWorkspaces: [stars] });
  assert.match((await app.query(animals, 'Why do otters hold hands?'))[0]?.text ?? '', /Otters hold hands/);
  assert.match((await app.query(animals, 'What do bears eat before winter?'))[0]?.text ?? '', /honey and salmon/);
  assert.deepEqual(
    (await app.query(stars, 'Why do otters hold hands?')).map(({ text }) => /Sirius/.test(text ?? '')),
    [true],
  );
  assert.deepEqual(await app.query('nothing-here', 'anything'), []);
});

test('a document is removed cache first, then its file, then in every workspace one copy', async (t) => {
  const app = await open(t);
  const [one, two] = [await app.createWorkspace('Purged one'), await app.createWorkspace('Purged two')];
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  await app.embed(one, docpath, docpath);
  const effects = await effectsOf(app.steps.removeDocument(docpath));
  assert.deepEqual(effects.slice(0, 2), ['cache removed', 'document removed']);
  // The second workspace never had it, and logs its removal all the same; the second copy stays, without a file.
  assert.equal(effects.filter((effect) => effect === 'event logged').length, 2);
  const { documents, caches, memberships } = await app.inspect();
  assert.deepEqual([documents.size, caches.size], [0, 0]);
  assert.equal(memberships.get(`${one}/${docpath}`)?.length, 1);
  assert.equal(memberships.has(`${two}/${docpath}`), false);
});

test('with Chroma down an addition does nothing and says nothing, and a removal fails after the files are gone', async (t) => {
  const app = await open(t);
  const { chroma } = app;
  const slug = await app.createWorkspace('Down');
  const [kept, late] = [await app.addRawText({ title: 'kept', text: TEXT }), await app.addRawText({ title: 'late', text: TEXT })];
  await app.embed(slug, kept);
  await chroma.kill('SIGKILL');

  const { embedded, failed } = await app.embed(slug, late);
  assert.deepEqual([embedded, failed], [[], [late]]);
  assert.equal(existsSync(join(app.storageDir, 'vector-cache', cacheName(late))), false);
  await assert.rejects(app.unembed(slug, kept), /fetch failed/);
  await assert.rejects(app.removeDocument(kept), /fetch failed/);
  await assert.rejects(app.query(slug, 'otters'), /fetch failed/);
  assert.equal(existsSync(join(app.storageDir, 'documents', kept)), false);

  await chroma.restart();
  const inspection = await app.inspect();
  assert.equal(inspection.memberships.get(`${slug}/${kept}`)?.length, 1);
  assert.deepEqual(strays(inspection), { ghosts: [], missing: [] });
});

test('a workspace is deleted table by table; documents and caches stay', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Deleted');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT, addToWorkspaces: [slug] });
  assert.deepEqual(await effectsOf(app.steps.deleteWorkspace(slug)), [
    'chat rows removed',
    'rows read',
    'vector rows removed',
    'document rows removed',
    'workspace row removed',
    'event logged',
    'collection removed',
  ]);
  const { documents, caches, workspaces, vectorIds, collections } = await app.inspect();
  assert.deepEqual([[...documents.keys()], [...caches.keys()]], [[docpath], [docpath]]);
  assert.deepEqual([workspaces.size, vectorIds.size, collections.has(slug)], [0, 0, false]);
});

test('a document that arrives while its workspace is deleted keeps the row, silently, and loses the collection', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Half deleted');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT, addToWorkspaces: [slug] });
  const deleting = app.steps.deleteWorkspace(slug);
  await advance(deleting, 'document rows removed');
  await app.embed(slug, docpath);
  const effects = await effectsOf(deleting);
  assert.deepEqual(effects, ['error swallowed', 'event logged', 'collection removed']);
  assert.match(app.swallowed[0]?.message ?? '', /FOREIGN KEY constraint failed/);
  const inspection = await app.inspect();
  assert.equal(inspection.workspaces.has(slug), true);
  assert.equal(inspection.collections.has(slug), false);
  assert.equal(strays(inspection).missing.length, 1);
});

test('a pin changes one row and nothing else, and a document that is not there is refused', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Pinned');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT, addToWorkspaces: [slug] });
  assert.deepEqual(await effectsOf(app.steps.pin(slug, docpath)), ['document row changed']);
  assert.equal((await app.inspect()).memberships.get(`${slug}/${docpath}`)?.[0]?.pinned, true);
  await app.unpin(slug, docpath);
  assert.equal((await app.inspect()).memberships.get(`${slug}/${docpath}`)?.[0]?.pinned, false);
  await assert.rejects(app.pin(slug, 'custom-documents/none.json'), /404/);
});

test('an operation can be abandoned between any two effects', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Abandoned');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  await runUntil(app.steps.embed(slug, docpath), 'cache half written');
  const inspection = await app.inspect();
  assert.deepEqual(Object.keys(inspection.caches.get(docpath) ?? {}), ['broken']);
  assert.equal(inspection.memberships.size, 0);
  assert.equal(strays(inspection).ghosts.length, 1);
  // A truncated cache is a failure that nobody hears of.
  const { failed } = await app.embed(slug, docpath);
  assert.deepEqual(failed, [docpath]);
});

test('a half-written document ends the whole batch', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Batch');
  const [broken, whole] = [await app.addRawText({ title: 'broken', text: TEXT }), await app.addRawText({ title: 'whole', text: TEXT })];
  writeFileSync(join(app.storageDir, 'documents', broken), '{"pageContent": "Ot');
  await assert.rejects(app.embed(slug, broken, whole), SyntaxError);
  assert.equal((await app.inspect()).memberships.size, 0);
});

test('a locked database loses rows without a word, and the vectors stay', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Locked');
  const docpath = await app.addRawText({ title: 'otters', text: TEXT });
  using other = new DatabaseSync(join(app.storageDir, 'anythingllm.db'));
  const embedding = app.steps.embed(slug, docpath);
  await advance(embedding, 'cache written');
  other.exec('BEGIN IMMEDIATE');
  assert.deepEqual(await effectsOf(embedding), ['error swallowed', 'error swallowed', 'error swallowed']);
  other.exec('ROLLBACK');
  const inspection = await app.inspect();
  assert.equal(inspection.memberships.size, 0);
  assert.equal(strays(inspection).ghosts.length, 1);
});

test('the same seed makes the same storage and the same ids', async (t) => {
  const pictures: unknown[] = [];
  for (let round = 0; round < 2; round++) {
    const app = await open(t, 'same seed');
    const slug = await app.createWorkspace('Seeded');
    const taken = await app.createWorkspace('Seeded');
    assert.match(taken, /^seeded-\d{8}$/);
    await app.addRawText({ title: 'otters', text: TEXT, addToWorkspaces: [slug, taken] });
    const inspection = await app.inspect();
    pictures.push({
      ...(comparable(inspection) as object),
      ids: [...inspection.vectorIds],
      events: select(app, 'SELECT * FROM event_logs'),
    });
  }
  assert.deepEqual(pictures[0], pictures[1]);
});
