import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test, type TestContext } from 'node:test';
import { createEmbedder } from '../embedder/index.ts';
import { startChroma, type ChromaServer } from '../servers/chroma.ts';
import { seededClock } from './clock.ts';
import { createStorage, createTemplate, effectsOf, openAppVectors, openStandIn, strays, type StandIn } from './index.ts';
import { cacheName } from './names.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-operations-'));
const template = join(directory, 'template.db');
createTemplate(template);
after(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;
async function open(t: TestContext): Promise<StandIn & { readonly chroma: ChromaServer }> {
  const place = join(directory, String(count++));
  createStorage(join(place, 'storage'), template);
  const chroma = await startChroma({ directory: join(place, 'chroma') });
  t.after(() => chroma.stop());
  const app = openStandIn({
    storageDir: join(place, 'storage'),
    vectors: openAppVectors(chroma.url),
    embedder: createEmbedder({ dimensions: 64 }),
    clock: seededClock('seed'),
  });
  t.after(() => app[Symbol.dispose]());
  return { ...app, chroma };
}

function select(app: StandIn, sql: string): Record<string, unknown>[] {
  using database = new DatabaseSync(join(app.storageDir, 'anythingllm.db'), { readOnly: true });
  return database
    .prepare(sql)
    .all()
    .map((row) => ({ ...row }));
}

const file = (app: StandIn, docpath: string): string => join(app.storageDir, 'documents', docpath);
const cache = (app: StandIn, docpath: string): string => join(app.storageDir, 'vector-cache', cacheName(docpath));
const pageContent = (app: StandIn, docpath: string): unknown =>
  (JSON.parse(readFileSync(file(app, docpath), 'utf8')) as { pageContent: unknown }).pageContent;

test('an upload into a folder is created in custom-documents and moved', async (t) => {
  const app = await open(t);
  const steps = app.steps.upload({ name: 'My notes.txt', text: 'Notes about otters.', folder: 'notes' });
  assert.deepEqual((await effectsOf(steps)).slice(0, 6), [
    'folder created',
    'document truncated',
    'document half written',
    'document written',
    'folder created',
    'document moved',
  ]);
  assert.deepEqual(readdirSync(join(app.storageDir, 'documents')), ['custom-documents', 'notes']);
  assert.match(readdirSync(join(app.storageDir, 'documents', 'notes'))[0] ?? '', /^My-notes\.txt-[0-9a-f-]{36}\.json$/);
  assert.deepEqual(select(app, 'SELECT event, metadata FROM event_logs'), [
    { event: 'api_document_uploaded', metadata: '{"documentName":"My notes.txt","folder":"notes"}' },
  ]);
});

test('a spreadsheet uploaded again replaces its document and leaves the stale cache and an empty folder', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Sheets');
  const sheets = { 'First sheet': 'a,b\n1,2' };
  const [docpath] = await app.uploadSpreadsheet({ name: 'sales.xlsx', sheets, folder: 'sales', addToWorkspaces: [slug] });
  assert.equal(docpath, 'sales/sheet-First-sheet.json');
  const stale = readFileSync(cache(app, docpath), 'utf8');
  await app.uploadSpreadsheet({ name: 'sales.xlsx', sheets: { 'First sheet': 'a,b\n3,4' }, folder: 'sales' });
  assert.equal(pageContent(app, docpath), 'a,b\n3,4');
  assert.equal(readFileSync(cache(app, docpath), 'utf8'), stale);
  const folders = readdirSync(join(app.storageDir, 'documents')).toSorted();
  assert.equal(folders.length, 3);
  assert.match(folders[1] ?? '', /^sales\.xlsx-[0-9a-f]{4}$/);
  assert.deepEqual(readdirSync(join(app.storageDir, 'documents', folders[1] ?? '')), []);
});

test('a wiki page imported again is overwritten in place, in the same file, and the old text is embedded from the cache', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Wiki');
  const page = { folder: 'wiki', host: 'wiki.example.org', page: '7.12.1700000000', title: 'Otter care' };
  const docpath = await app.importPage({ ...page, text: 'Feed otters at noon.' });
  assert.equal(docpath, 'wiki/Otter-care-wiki.example.org.7.12.1700000000.json');
  await app.embed(slug, docpath);
  const { ino } = statSync(file(app, docpath));
  assert.equal(await app.importPage({ ...page, text: 'Feed otters at dusk.' }), docpath);
  assert.equal(statSync(file(app, docpath)).ino, ino);
  const other = await app.createWorkspace('Wiki two');
  await app.embed(other, docpath);
  assert.match((await app.query(other, 'otters'))[0]?.text ?? '', /at noon/);
});

test('folders: made once, and moving skips what is embedded, leaves caches and overwrites the target', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Moving');
  const [free, held, old] = [
    await app.addRawText({ title: 'free', text: 'A free text.' }),
    await app.addRawText({ title: 'held', text: 'A held text.', addToWorkspaces: [slug] }),
    await app.addRawText({ title: 'old', text: 'An old text.' }),
  ];
  await app.embed(slug, free);
  await app.unembed(slug, free);
  await app.createFolder('archive');
  await assert.rejects(app.createFolder('archive'), /500/);
  const moved = await app.moveFiles(
    { from: free, to: 'archive/one.json' },
    { from: held, to: 'archive/held.json' },
    { from: old, to: 'archive/one.json' },
  );
  assert.deepEqual(moved, ['archive/one.json', 'archive/one.json']);
  assert.equal(pageContent(app, 'archive/one.json'), 'An old text.');
  assert.equal(existsSync(file(app, held)), true);
  assert.equal(existsSync(cache(app, free)), true);
  assert.equal(existsSync(cache(app, 'archive/one.json')), false);
  await assert.rejects(app.moveFiles({ from: 'archive/one.json', to: 'nowhere/one.json' }), /500/);
});

test('a folder is removed caches first, itself last; custom-documents never', async (t) => {
  const app = await open(t);
  const [one, two] = [await app.createWorkspace('Folder one'), await app.createWorkspace('Folder two')];
  const inside = [
    await app.upload({ name: 'a.txt', text: 'Text a.', folder: 'gone', addToWorkspaces: [one, two] }),
    await app.upload({ name: 'b.txt', text: 'Text b.', folder: 'gone', addToWorkspaces: [two] }),
  ];
  const stays = await app.addRawText({ title: 'stays', text: 'This stays.', addToWorkspaces: [one] });
  const effects = await effectsOf(app.steps.removeFolder('gone'));
  assert.deepEqual(effects.slice(0, 3), ['rows read', 'cache removed', 'cache removed']);
  assert.equal(effects.at(-1), 'folder removed');
  await app.removeFolder('custom-documents');
  await app.removeFolder('unknown');
  const inspection = await app.inspect();
  assert.deepEqual([...inspection.documents.keys()], [stays]);
  assert.deepEqual([...inspection.memberships.keys()], [`${one}/${stays}`]);
  assert.deepEqual(strays(inspection), { ghosts: [], missing: [] });
  assert.equal(inside.length, 2);
});

test('a folder removed while Chroma is down keeps its files and rows, and has lost its caches', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Folder down');
  const docpath = await app.upload({ name: 'a.txt', text: 'Text a.', folder: 'half', addToWorkspaces: [slug] });
  await app.chroma.kill('SIGKILL');
  await assert.rejects(app.removeFolder('half'), /fetch failed/);
  assert.deepEqual([existsSync(file(app, docpath)), existsSync(cache(app, docpath))], [true, false]);
  assert.equal(select(app, 'SELECT * FROM workspace_documents').length, 1);
});

test('saving chunk settings wipes the cache folder once per field and nothing else', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Chunks');
  const docpath = await app.addRawText({ title: 'otters', text: 'Otters. '.repeat(40), addToWorkspaces: [slug] });
  const before = await app.inspect();
  assert.equal(before.collections.get(slug)?.length, 1);
  assert.deepEqual(await effectsOf(app.steps.saveChunkSettings({ size: 100, overlap: 10 })), [
    'cache folder removed',
    'cache folder created',
    'cache folder removed',
    'cache folder created',
    'setting saved',
    'setting saved',
  ]);
  const wiped = await app.inspect();
  assert.equal(wiped.caches.size, 0);
  assert.deepEqual([wiped.memberships, wiped.collections], [before.memberships, before.collections]);
  assert.deepEqual(select(app, 'SELECT label, value FROM system_settings'), [
    { label: 'text_splitter_chunk_size', value: '100' },
    { label: 'text_splitter_chunk_overlap', value: '10' },
  ]);
  const other = await app.createWorkspace('Chunks two');
  await app.embed(other, docpath);
  assert.equal((await app.inspect()).collections.get(other)?.length, 4);
});

test('a reset of all vector stores leaves documents and workspaces, and nothing of their embeddings', async (t) => {
  const app = await open(t);
  const [one, two] = [await app.createWorkspace('Reset one'), await app.createWorkspace('Reset two')];
  await app.addRawText({ title: 'otters', text: 'Otters.', addToWorkspaces: [one] });
  assert.deepEqual(await effectsOf(app.steps.resetAllVectorStores()), [
    'cache folder removed',
    'cache folder created',
    'vector rows removed',
    'document rows removed',
    'event logged',
    'collection removed',
    'error swallowed', // the second workspace never had a collection
  ]);
  const { documents, caches, workspaces, memberships, vectorIds, collections } = await app.inspect();
  assert.deepEqual([documents.size, caches.size, memberships.size, vectorIds.size, collections.size], [1, 0, 0, 0, 0]);
  assert.deepEqual([...workspaces.keys()], [one, two]);
  assert.equal(select(app, "SELECT * FROM event_logs WHERE event = 'workspace_vectors_reset'").length, 1);
});

test('a reset of one workspace leaves files and caches', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Reset');
  await app.addRawText({ title: 'otters', text: 'Otters.', addToWorkspaces: [slug] });
  await app.resetWorkspaceVectors(slug);
  const { documents, caches, memberships, collections } = await app.inspect();
  assert.deepEqual([documents.size, caches.size, memberships.size, collections.size], [1, 1, 0, 0]);
});

test('a watched document is replaced under its docId: vectors, cache, file, then the other workspaces from the cache', async (t) => {
  const app = await open(t);
  const [one, two] = [await app.createWorkspace('Watched one'), await app.createWorkspace('Watched two')];
  const url = 'https://example.org/otters/';
  const docpath = await app.uploadLink({ url, text: 'Old text about otters.', addToWorkspaces: [one, two] });
  await app.watch(one, docpath);
  await app.watch(two, docpath);
  assert.equal(select(app, 'SELECT * FROM document_sync_queues').length, 1);
  assert.equal(select(app, 'SELECT * FROM workspace_documents WHERE watched = 1').length, 2);
  const before = await app.inspect();
  const rows = select(app, 'SELECT * FROM workspace_documents ORDER BY id');
  const calls = app.embedder.calls.chunks;
  assert.deepEqual(await effectsOf(app.steps.resyncWatched({ fetch: () => 'New text' })), []); // nothing is due yet

  const effects = await effectsOf(app.steps.resyncWatched({ fetch: () => 'New text about otters.', until: Infinity }));
  const renewed = [
    'document read',
    'rows read',
    'vectors removed',
    'vector rows removed',
    'chunks embedded',
    'collection ready',
    'vectors added',
    'cache truncated',
    'cache half written',
    'cache written',
    'vector rows added',
  ];
  const written = ['document truncated', 'document half written', 'document written'];
  const others = [
    'rows read',
    'vectors removed',
    'vector rows removed',
    'cache read',
    'collection ready',
    'vectors added',
    'vector rows added',
  ];
  assert.deepEqual(effects, [...renewed, ...written, ...others, 'queue row changed', 'run row added']);
  const renewal = await app.inspect();
  assert.deepEqual(select(app, 'SELECT * FROM workspace_documents ORDER BY id'), rows);
  assert.equal(app.embedder.calls.chunks, calls + 1);
  assert.deepEqual([...renewal.vectorIds.keys()], [...before.vectorIds.keys()]);
  assert.notDeepEqual([...renewal.vectorIds.values()], [...before.vectorIds.values()]);
  const data = JSON.parse(readFileSync(file(app, docpath), 'utf8')) as Record<string, unknown>;
  assert.equal(data['pageContent'], 'New text about otters.');
  assert.equal(data['docId'], rows[0]?.['docId']);
  for (const slug of [one, two]) assert.match((await app.query(slug, 'otters'))[0]?.text ?? '', /New text about otters/);
  assert.deepEqual(strays(renewal), { ghosts: [], missing: [] });
  assert.deepEqual(JSON.parse(String(select(app, 'SELECT result FROM document_sync_executions')[0]?.['result'])), {
    filename: docpath.split('/')[1],
    workspacesModified: [one, two],
  });
});

test('an unchanged source changes nothing but its queue, a missing file ends the run, and five failures end the watching', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Unchanged');
  const docpath = await app.uploadLink({ url: 'https://example.org/page', text: 'The same.', addToWorkspaces: [slug] });
  await app.watch(slug, docpath);
  const due = { until: Infinity };
  assert.deepEqual(await effectsOf(app.steps.resyncWatched({ fetch: () => 'The same.', ...due })), [
    'document read',
    'queue row changed',
    'run row added',
  ]);
  const bytes = readFileSync(file(app, docpath));
  rmSync(file(app, docpath));
  await app.resyncWatched({ fetch: () => 'Other.', ...due });
  assert.match(app.swallowed.at(-1)?.message ?? '', /is missing/);
  mkdirSync(join(app.storageDir, 'documents', 'custom-documents'), { recursive: true });
  writeFileSync(file(app, docpath), bytes);
  for (let round = 0; round < 6; round++) await app.resyncWatched({ fetch: () => undefined, ...due });
  assert.equal(select(app, 'SELECT * FROM document_sync_queues').length, 0);
  assert.equal((await app.inspect()).memberships.get(`${slug}/${docpath}`)?.[0]?.watched, false);
});

test("an agent's memory is vectors and their rows, and nothing else", async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Memory');
  assert.equal(await app.storeMemory(slug, 'The user likes otters.'), true);
  const { documents, caches, memberships, vectorIds, collections } = await app.inspect();
  assert.deepEqual([documents.size, caches.size, memberships.size, vectorIds.size], [0, 0, 0, 1]);
  assert.match(collections.get(slug)?.[0]?.text ?? '', /The user likes otters/);
});

test('a workspace has the defaults of the original, mended values, and one slug for life', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('C++ @ work!');
  assert.equal(slug, 'c-plus-plus-at-work-bang');
  const settings = async (): Promise<unknown> => ({ ...(await app.inspect()).workspaces.get(slug) });
  assert.deepEqual(await settings(), {
    name: 'C++ @ work!',
    openAiTemp: null,
    openAiHistory: 20,
    openAiPrompt: 'Answer the question from the context and the conversation so far.',
    similarityThreshold: 0.25,
    chatModel: null,
    topN: 4,
    chatMode: 'automatic',
    chatProvider: null,
    agentModel: null,
    agentProvider: null,
    queryRefusalResponse: null,
    vectorSearchMode: 'default',
  });
  const stamp = select(app, 'SELECT lastUpdatedAt FROM workspaces');
  await app.updateWorkspace(slug, {
    name: 'Renamed',
    topN: -3,
    similarityThreshold: 7,
    chatMode: 'nonsense',
    openAiTemp: 0.5,
    chatModel: 'm',
  });
  assert.deepEqual(select(app, 'SELECT lastUpdatedAt FROM workspaces'), stamp);
  const { name, topN, similarityThreshold, chatMode, openAiTemp, chatModel } = (await settings()) as Record<string, unknown>;
  assert.deepEqual([name, topN, similarityThreshold, chatMode, openAiTemp, chatModel], ['Renamed', 1, 1, 'automatic', 0.5, 'm']);
  await app.updateWorkspace(slug, { chatProvider: 'default' });
  assert.equal(((await settings()) as Record<string, unknown>)['chatModel'], null);
  assert.match(await app.createWorkspace('日本語'), /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  await assert.rejects(app.updateWorkspace('unknown', { name: 'x' }), /400/);
});

test('a document that Chroma refuses is not embedded, and nobody is told', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Refused');
  const docpath = await app.importPage({ folder: 'odd', host: 'h', page: '1', title: 'nested', text: 'Some text.' });
  const data = JSON.parse(readFileSync(file(app, docpath), 'utf8')) as Record<string, unknown>;
  writeFileSync(file(app, docpath), JSON.stringify({ ...data, extra: { nested: true } }));
  const { embedded, errors } = await app.embed(slug, docpath);
  assert.deepEqual(embedded, []);
  assert.match(errors[0] ?? '', /Chroma answers 4\d\d/);
  assert.equal(existsSync(cache(app, docpath)), false);
});

test('a slug whose collection name Chroma refuses can hold no documents', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('xyz__');
  const { failed } = await app.embed(slug, await app.addRawText({ title: 'otters', text: 'Otters.' }));
  assert.deepEqual([slug, failed.length], ['xyz__', 1]);
});

test('an attachment of a chat is no document until it is embedded: then it is copied, taken away and forgotten', async (t) => {
  const app = await open(t);
  const slug = await app.createWorkspace('Chat');
  const id = await app.attach(slug, { name: 'note.txt', text: 'Otters like clams.' });
  assert.equal((await app.inspect()).documents.size, 0);
  const [name] = readdirSync(join(app.storageDir, 'direct-uploads'));
  const docpath = await app.embedAttachment(slug, id);
  assert.equal(docpath, `custom-documents/${name}`);
  assert.deepEqual(readdirSync(join(app.storageDir, 'direct-uploads')), []);
  assert.equal(select(app, 'SELECT * FROM workspace_parsed_files').length, 0);
  assert.match((await app.query(slug, 'clams'))[0]?.text ?? '', /Otters like clams/);
  await assert.rejects(app.embedAttachment(slug, id), /500/);
});
