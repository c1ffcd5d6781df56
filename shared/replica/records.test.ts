import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, existsSync, writeFileSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { contentHash, parseDocPath, parseSlug, type MembershipCopy, type WorkspaceContent } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import { createTestDatabase } from './database-for-tests.ts';
import type { MembershipRow, MembershipWrite, Problem } from './port.ts';
import { openRecords } from './records.ts';

const slug = parseSlug('research');
const at = parseDocPath;
const plain: WorkspaceContent = {
  name: 'Research',
  openAiTemp: null,
  openAiHistory: 20,
  openAiPrompt: null,
  similarityThreshold: 0.25,
  chatModel: null,
  topN: 4,
  chatMode: 'automatic',
  chatProvider: null,
  agentModel: null,
  agentProvider: null,
  queryRefusalResponse: null,
  vectorSearchMode: 'default',
};

function open(t: TestContext, busyMs = 2000) {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-records-'));
  const databasePath = join(directory, 'anythingllm.db');
  const other = createTestDatabase(databasePath);
  const records = openRecords({ databasePath, clock: { ...systemClock, now: () => 1_800_000_000_123 }, busyMs });
  t.after(() => {
    records[Symbol.dispose]();
    if (other.isOpen) other.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { directory, databasePath, other, records };
}

const all = (database: DatabaseSync, sql: string): Record<string, unknown>[] =>
  database
    .prepare(sql)
    .all()
    .map((row) => ({ ...row }));
const copy = (docId: string, pinned = false): MembershipCopy => ({ docId, pinned });
const write = (path: string, copies: readonly MembershipCopy[], expected: readonly MembershipCopy[] = []): MembershipWrite => ({
  slug,
  path: at(path),
  copies,
  expected,
  metadata: '{"title":"t"}',
});

test('a workspace reads back as it was written, whatever its values', (t) => {
  const { records } = open(t);
  const variants: Partial<WorkspaceContent>[] = [
    {},
    { openAiTemp: 0.7, similarityThreshold: 1, topN: 1 },
    { openAiTemp: 1, similarityThreshold: 0, openAiHistory: 0 },
    { openAiTemp: 0.1 + 0.2, similarityThreshold: 0.30000000000000004 },
    { openAiTemp: 1e-300, similarityThreshold: null, topN: null, chatMode: null, vectorSearchMode: null },
    { name: '', openAiPrompt: '', chatModel: '' },
    { name: 'Ü\u{1F600}\u0000 zero', openAiPrompt: 'a\n\t"\\\u2028', queryRefusalResponse: '\uFEFF' },
    { name: '12', chatModel: '007', openAiPrompt: '1e3' },
  ];
  for (const variant of variants) {
    const content = { ...plain, ...variant };
    records.putWorkspace(slug, content);
    assert.deepEqual(records.workspace(slug), content);
    assert.equal(contentHash(records.workspace(slug)), contentHash(content));
    assert.deepEqual(records.workspaces(), [{ slug, content }]);
  }
});

test('integers in REAL columns hash as what another replica would hold', (t) => {
  const { records, other } = open(t);
  other.exec(`insert into workspaces (name, slug, similarityThreshold, openAiTemp, topN) values ('Research', 'research', 1, 0, 4)`);
  const read = records.workspace(slug);
  assert.ok(read !== undefined);
  const second = parseSlug('second');
  records.putWorkspace(second, JSON.parse(JSON.stringify(read)) as WorkspaceContent);
  assert.equal(contentHash(records.workspace(second)), contentHash(read));
});

test('a new workspace row has integer dates and leaves what is local at its default', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  assert.deepEqual(
    all(other, 'select typeof(createdAt) c, typeof(lastUpdatedAt) l, createdAt, vectorTag, pfpFilename, router_id from workspaces'),
    [{ c: 'integer', l: 'integer', createdAt: 1_800_000_000_123, vectorTag: null, pfpFilename: null, router_id: null }],
  );
});

test('an update touches only the replicated settings, and an equal one writes nothing', (t) => {
  const { records, other } = open(t);
  other.exec(
    `insert into workspaces (name, slug, vectorTag, pfpFilename, router_id, createdAt, lastUpdatedAt) values ('Old', 'research', 'tag', 'pic.png', 7, 11, 12)`,
  );
  records.putWorkspace(slug, plain);
  assert.deepEqual(all(other, 'select id, name, vectorTag, pfpFilename, router_id, createdAt, lastUpdatedAt from workspaces'), [
    { id: 1, name: 'Research', vectorTag: 'tag', pfpFilename: 'pic.png', router_id: 7, createdAt: 11, lastUpdatedAt: 12 },
  ]);
  const version = other.prepare('pragma data_version').get()?.['data_version'];
  records.putWorkspace(slug, plain);
  assert.equal(other.prepare('pragma data_version').get()?.['data_version'], version);
});

test('settings that the table refuses are refused as a malformed change', (t) => {
  const { records } = open(t);
  assert.throws(() => records.putWorkspace(slug, { ...plain, topN: 0 }), { code: 'record_malformed', message: /topN/ });
  assert.equal(records.workspace(slug), undefined);
});

test('memberships are inserted, pinned and removed, and doing so twice changes nothing', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  const path = 'custom-documents/a.json';
  const first = write(path, [copy('d1'), copy('d2', true)]);
  assert.deepEqual(records.setMemberships([first]), []);
  assert.deepEqual(records.setMemberships([first]), []);
  assert.deepEqual(
    all(other, 'select docId, filename, docpath, workspaceId, metadata, typeof(createdAt) c, pinned, watched from workspace_documents'),
    [
      { docId: 'd1', filename: 'a.json', docpath: path, workspaceId: 1, metadata: '{"title":"t"}', c: 'integer', pinned: 0, watched: 0 },
      { docId: 'd2', filename: 'a.json', docpath: path, workspaceId: 1, metadata: '{"title":"t"}', c: 'integer', pinned: 1, watched: 0 },
    ],
  );
  records.addVectorIds([
    { docId: 'd1', vectorId: 'v1' },
    { docId: 'd2', vectorId: 'v2' },
  ]);
  other.exec(
    'update workspace_documents set watched = true, metadata = null; insert into document_sync_queues (nextSyncAt, workspaceDocId) values (1, 2)',
  );
  const second = write(path, [copy('d1', true)], first.copies);
  for (let time = 0; time < 2; time++) assert.deepEqual(records.setMemberships([second]), []);
  assert.deepEqual(all(other, 'select docId, pinned, watched, metadata from workspace_documents'), [
    { docId: 'd1', pinned: 1, watched: 1, metadata: null },
  ]);
  assert.deepEqual(all(other, 'select vectorId from document_vectors'), [{ vectorId: 'v1' }]);
  assert.deepEqual(all(other, 'select * from document_sync_queues'), [], 'foreign keys are on');
  assert.deepEqual(records.setMemberships([write(path, [], second.copies)]), []);
  assert.deepEqual(all(other, 'select * from workspace_documents'), []);
  assert.deepEqual(all(other, 'select * from document_vectors'), []);
});

test('a membership that AnythingLLM changed in between is left alone and returned', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  records.setMemberships([write('f/a.json', [copy('d1')]), write('f/b.json', [copy('d2')])]);
  other.exec(`update workspace_documents set pinned = true where docId = 'd1'`);
  const writes = [write('f/a.json', [], [copy('d1')]), write('f/b.json', [], [copy('d2')])];
  assert.deepEqual(
    records.setMemberships(writes).map(({ path, reason }) => [path, reason]),
    [['f/a.json', 'changed']],
  );
  assert.deepEqual(all(other, 'select docId from workspace_documents'), [{ docId: 'd1' }]);
});

test('a copy that was embedded again while its vectors were removed stays until the new ones are removed too', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  records.setMemberships([write('f/a.json', [copy('d1'), copy('d2')])]);
  records.addVectorIds([
    { docId: 'd1', vectorId: 'old' },
    { docId: 'd2', vectorId: 'stays' },
  ]);
  const removal = (...ids: string[]) => ({ ...write('f/a.json', [copy('d2')], [copy('d1'), copy('d2')]), goneVectorIds: new Set(ids) });
  other.exec("insert into document_vectors (docId, vectorId) values ('d1', 'new')");
  assert.deepEqual(
    records.setMemberships([removal('old')]).map(({ reason }) => reason),
    ['changed'],
  );
  assert.deepEqual(records.vectorIds(['d1']).get('d1'), ['old', 'new'], 'nothing of it was removed');
  assert.deepEqual(records.setMemberships([removal('old', 'new', 'and one that has no row')]), []);
  assert.deepEqual(Object.fromEntries(records.vectorIds(['d1', 'd2'])), { d1: [], d2: ['stays'] });
});

test('a membership without its workspace is returned, and its removal is done already', (t) => {
  const { records } = open(t);
  assert.deepEqual(
    records.setMemberships([write('f/a.json', [copy('d1')])]).map(({ reason }) => reason),
    ['no_workspace'],
  );
  assert.deepEqual(records.setMemberships([write('f/a.json', [], [copy('d1')])]), []);
});

test('a docId that another membership has is returned and does not stop the others', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  records.putWorkspace(parseSlug('second'), plain);
  records.setMemberships([write('f/a.json', [copy('d1')])]);
  const refused = records.setMemberships([
    { ...write('f/a.json', [copy('d1')]), slug: parseSlug('second') },
    write('f/b.json', [copy('d1')]),
    write('f/c.json', [copy('d3')]),
  ]);
  assert.deepEqual(
    refused.map(({ slug: where, path, reason }) => [where, path, reason]),
    [
      ['second', 'f/a.json', 'docid_taken'],
      ['research', 'f/b.json', 'docid_taken'],
    ],
  );
  assert.deepEqual(all(other, 'select docId, docpath from workspace_documents'), [
    { docId: 'd1', docpath: 'f/a.json' },
    { docId: 'd3', docpath: 'f/c.json' },
  ]);
});

test('every membership comes once, in the order of slug and path in UTF-8, with its copies by docId', (t) => {
  const { records, other } = open(t);
  other.exec(`insert into workspaces (name, slug) values ('b', 'b'), ('a', 'a'), ('a-b', 'a-b')`);
  const insert = other.prepare('insert into workspace_documents (docId, filename, docpath, workspaceId, pinned) values (?, ?, ?, ?, ?)');
  const rows: [string, string, number, number | null][] = [
    ['d9', 'f/\u{1F600}.json', 1, 1],
    ['d8', 'f/\uFF5E.json', 1, null],
    ['d2', 'f/z.json', 2, 0],
    ['d1', 'f/z.json', 2, 1],
    ['d3', 'f/a.json', 3, 0],
    ['d4', '../escape.json', 2, 0],
    ['d5', '../escape.json', 2, 0],
    ['d6', 'C:\\f\\a.json', 2, 0],
  ];
  for (const [docId, path, workspace, pinned] of rows) insert.run(docId, 'x', path, workspace, pinned);
  const seen: MembershipRow[] = [];
  const problems: Problem[] = [];
  records.eachMembership(
    (row) => seen.push(row),
    (problem) => problems.push(problem),
  );
  assert.deepEqual(seen, [
    { slug: 'a', path: 'f/z.json', copies: [copy('d1', true), copy('d2')] },
    { slug: 'a-b', path: 'f/a.json', copies: [copy('d3')] },
    { slug: 'b', path: 'f/\uFF5E.json', copies: [copy('d8')] },
    { slug: 'b', path: 'f/\u{1F600}.json', copies: [copy('d9', true)] },
  ]);
  assert.deepEqual(
    problems.map(({ name }) => name),
    ['a/../escape.json', 'a/C:\\f\\a.json'],
  );
  assert.deepEqual(records.membershipsOf([at('f/z.json'), at('f/none.json')]), [seen[0]]);
  assert.deepEqual(records.membershipsIn(parseSlug('b')), seen.slice(2));
});

test('vector ids are found by docId, added once and removed by pair', (t) => {
  const { records, other } = open(t);
  const rows = Array.from({ length: 12_000 }, (_, index) => ({ docId: `d${index % 7}`, vectorId: `v${index}` }));
  records.addVectorIds(rows);
  records.addVectorIds(rows);
  assert.deepEqual(all(other, 'select count(*) n, typeof(createdAt) c from document_vectors'), [{ n: 12_000, c: 'integer' }]);
  other.exec(`insert into document_vectors (docId, vectorId) values ('d3', 'late')`);
  const found = records.vectorIds(['d3', 'none']);
  assert.deepEqual(found.get('none'), []);
  assert.deepEqual(found.get('d3'), [...rows.filter(({ docId }) => docId === 'd3').map(({ vectorId }) => vectorId), 'late']);
  records.removeVectorIds([
    { docId: 'd3', vectorId: 'v3' },
    { docId: 'd3', vectorId: 'v4' },
    { docId: 'none', vectorId: 'v5' },
  ]);
  assert.equal(records.vectorIds(['d3']).get('d3')?.includes('v3'), false);
  assert.deepEqual(all(other, 'select count(*) n from document_vectors'), [{ n: 12_000 }]);
  other.exec('delete from document_vectors');
  assert.deepEqual(records.vectorIds(['d3']).get('d3'), []);
});

test('vector ids are found after the sequence was set back', (t) => {
  const { records, other } = open(t);
  records.addVectorIds(Array.from({ length: 5000 }, (_, index) => ({ docId: 'a', vectorId: `v${index}` })));
  assert.equal(records.vectorIds(['a']).get('a')?.length, 5000);
  other.exec(
    `delete from document_vectors; delete from sqlite_sequence where name = 'document_vectors'; insert into document_vectors (docId, vectorId) values ('b', 'v')`,
  );
  assert.deepEqual(records.vectorIds(['b']).get('b'), ['v']);
});

test('rows of document_vectors that came after another are read in slices, and from the first where the sequence was set back', (t) => {
  const { records, other } = open(t);
  records.addVectorIds(Array.from({ length: 50_001 }, (_, index) => ({ docId: `d${index % 2}`, vectorId: `v${index}` })));
  const first = records.vectorIdsAfter(0);
  assert.deepEqual([first.last, first.more, first.ids.get('d0')?.length], [50_000, true, 25_000]);
  const second = records.vectorIdsAfter(first.last);
  assert.deepEqual(second, { last: 50_001, more: false, ids: new Map([['d0', ['v50000']]]) });
  assert.deepEqual(records.vectorIdsAfter(second.last), { last: 50_001, more: false, ids: new Map() });
  other.exec(
    `delete from document_vectors; delete from sqlite_sequence where name = 'document_vectors'; insert into document_vectors (docId, vectorId) values ('b', 'v')`,
  );
  assert.deepEqual(records.vectorIdsAfter(second.last), { last: 1, more: false, ids: new Map([['b', ['v']]]) });
});

test('memberships are found by a docId of theirs', (t) => {
  const { records } = open(t);
  records.putWorkspace(slug, plain);
  records.setMemberships([write('f/a.json', [copy('d1'), copy('d2', true)]), write('f/b.json', [copy('d3')])]);
  assert.deepEqual(records.membershipsHolding(['d2', 'd9']), [{ slug, path: at('f/a.json'), copies: [copy('d2', true)] }]);
});

test('a workspace is removed with its rows and vectors, and others stay', (t) => {
  const { records, other } = open(t);
  const second = parseSlug('second');
  records.putWorkspace(slug, plain);
  records.putWorkspace(second, plain);
  const writes = Array.from({ length: 1100 }, (_, index) => write(`f/${index}.json`, [copy(`d${index}`)]));
  records.setMemberships([...writes, { ...write('f/0.json', [copy('other')]), slug: second }]);
  records.addVectorIds([
    ...writes.flatMap(({ copies }) => Array.from({ length: 10 }, (_, index) => ({ docId: copies[0]?.docId ?? '', vectorId: `v${index}` }))),
    { docId: 'other', vectorId: 'kept' },
  ]);
  records.removeWorkspace(slug);
  records.removeWorkspace(slug);
  assert.deepEqual(
    records.workspaces().map((workspace) => workspace.slug),
    [second],
  );
  assert.deepEqual(all(other, 'select docId from workspace_documents'), [{ docId: 'other' }]);
  assert.deepEqual(all(other, 'select vectorId from document_vectors'), [{ vectorId: 'kept' }]);
});

test('the version changes when another connection commits, and not when we do', (t) => {
  const { records, other } = open(t);
  const before = records.version();
  records.putWorkspace(slug, plain);
  assert.equal(records.version(), before);
  other.exec(`update workspaces set name = 'x'`);
  assert.notEqual(records.version(), before);
});

test('a database that was replaced is opened again', (t) => {
  const { records, databasePath, directory } = open(t);
  records.putWorkspace(slug, plain);
  const before = records.version();
  const younger = createTestDatabase(join(directory, 'younger.db'));
  younger.exec(`insert into event_logs (event) values ('x')`);
  younger.close();
  renameSync(join(directory, 'younger.db'), databasePath);
  assert.equal(records.look().eventSequence, 1);
  assert.deepEqual(records.workspaces(), []);
  assert.notEqual(records.version(), before);
});

test('a missing database is never created, and is found when it comes', (t) => {
  const { records, databasePath } = open(t);
  rmSync(databasePath);
  assert.throws(() => records.version(), { code: 'database_missing', message: /never creates it/ });
  assert.throws(() => records.putWorkspace(slug, plain), { code: 'database_missing' });
  assert.equal(existsSync(databasePath), false);
  createTestDatabase(databasePath).close();
  assert.deepEqual(records.workspaces(), []);
});

test('an unknown schema is refused by name, and accepted once it is migrated; more columns are fine', (t) => {
  const { records, databasePath, other } = open(t);
  other.exec('alter table workspaces add column "news" TEXT');
  assert.deepEqual(records.workspaces(), []);
  other.exec('alter table workspace_documents rename column docpath to path');
  assert.throws(() => records.version(), { code: 'schema_unknown', message: /no column docpath of table workspace_documents/ });
  other.exec('alter table workspace_documents rename column path to docpath');
  assert.deepEqual(records.workspaces(), []);
  other.exec('drop table event_logs');
  assert.throws(() => records.look(), { code: 'schema_unknown', message: /no table event_logs/ });
  rmSync(databasePath);
  writeFileSync(databasePath, '');
  assert.throws(() => records.version(), { code: 'schema_unknown', message: /no table workspaces/ });
});

test('a file that is no database is said to be none, and a good one in its place is used', (t) => {
  const { records, databasePath } = open(t);
  rmSync(databasePath);
  writeFileSync(databasePath, 'not a database '.repeat(500));
  assert.throws(() => records.version(), { code: 'schema_unknown', message: /damaged or no SQLite database/ });
  rmSync(databasePath);
  createTestDatabase(databasePath).close();
  assert.deepEqual(records.workspaces(), []);
});

test('a lock held by AnythingLLM is database_busy, and leaves no transaction behind', (t) => {
  const { records, other } = open(t, 50);
  records.putWorkspace(slug, plain);
  other.exec('begin immediate');
  assert.throws(() => records.putWorkspace(slug, { ...plain, name: 'x' }), { code: 'database_busy', message: /50 ms/ });
  assert.throws(() => records.setMemberships([write('f/a.json', [copy('d')])]), { code: 'database_busy' });
  assert.equal(records.workspace(slug)?.name, 'Research', 'reading goes on');
  other.exec('rollback; begin exclusive');
  assert.throws(() => records.version(), { code: 'database_busy' });
  other.exec('rollback');
  records.putWorkspace(slug, { ...plain, name: 'x' });
  assert.equal(records.workspace(slug)?.name, 'x');
});

test('a reader that never lets go makes a commit busy, and the change is rolled back', (t) => {
  const { records, other } = open(t, 50);
  records.putWorkspace(slug, plain);
  const reading = other.prepare('select * from workspaces').iterate();
  reading.next();
  assert.throws(() => records.putWorkspace(slug, { ...plain, name: 'x' }), { code: 'database_busy' });
  reading.return?.();
  assert.equal(other.prepare('select name from workspaces').get()?.['name'], 'Research');
  records.putWorkspace(slug, { ...plain, name: 'x' });
});

test('the read lock is given back before memberships are handed out', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  records.setMemberships([write('f/a.json', [copy('d1')])]);
  other.exec('pragma busy_timeout = 0');
  let seen = 0;
  records.eachMembership(
    () => {
      seen++;
      other.exec(`update workspace_documents set pinned = true`);
    },
    () => {},
  );
  assert.equal(seen, 1);
});

test('the look tells sequence, reset and chunking', (t) => {
  const { records, other } = open(t);
  assert.deepEqual(records.look(), { eventSequence: 0, resetEvent: 0, chunkSize: null, chunkOverlap: null });
  other.exec(`insert into event_logs (event) values ('a'), ('workspace_vectors_reset'), ('b'); delete from event_logs where event = 'b';
    insert into system_settings (label, value) values ('text_splitter_chunk_size', '1000'), ('text_splitter_chunk_overlap', 'none')`);
  assert.deepEqual(records.look(), { eventSequence: 3, resetEvent: 2, chunkSize: 1000, chunkOverlap: null });
});

test('the journal mode stays what it is', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  assert.equal(other.prepare('pragma journal_mode').get()?.['journal_mode'], 'delete');
});

test('a database that may not be read is disk_failed with advice', { skip: process.geteuid?.() === 0 }, (t) => {
  const { databasePath } = open(t);
  chmodSync(databasePath, 0o000);
  using records = openRecords({ databasePath, clock: systemClock, busyMs: 10 });
  assert.throws(() => records.version(), { code: 'disk_failed', message: /same user/ });
});

test('the marks of the memberships change with every row and pin, and with nothing else', (t) => {
  const { records, other } = open(t);
  records.putWorkspace(slug, plain);
  records.setMemberships([write('f/a.json', [copy('d1')]), write('f/b.json', [copy('d2')])]);
  const markAll = (): string => records.membershipsMark() + records.pinsMark();
  const marks = [markAll()];
  const changed = (sql: string): boolean => {
    other.exec(sql);
    marks.push(markAll());
    return marks.at(-1) !== marks.at(-2);
  };
  assert.equal(changed(`update workspaces set name = 'Renamed'`), false);
  assert.equal(changed(`update workspace_documents set pinned = true where docId = 'd1'`), true);
  assert.equal(changed(`update workspace_documents set pinned = not pinned`), true, 'a pin that moves to another document');
  assert.equal(changed(`delete from workspace_documents where docId = 'd1'`), true);
  const again = `insert into workspace_documents (docId, filename, docpath, workspaceId) values ('d3', 'c.json', 'f/c.json', 1)`;
  assert.equal(changed(`delete from workspace_documents; ${again}`), true, 'a row in the place of another');
  assert.equal(changed(`delete from workspace_documents; ${again}; delete from workspace_documents`), true);
  assert.equal(changed(`${again}; delete from workspace_documents`), true, 'a row that came and went');
});
