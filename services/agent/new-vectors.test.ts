import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { contentHash, membershipKey, parseDocPath, workspaceKey, type Content, type Key, type Slug } from '@docbus/core';
import { createTestDatabase } from '@docbus/replica/database-for-tests.ts';
import { idsHashOf, openManifest } from '@docbus/replica/manifest.ts';
import { openRecords } from '@docbus/replica/records.ts';
import { systemClock as clock } from '@docbus/runtime';
import { plainWorkspace } from './agent-for-tests.ts';
import { noticeNewVectors } from './new-vectors.ts';

const slug = 'news' as Slug;
const path = parseDocPath('custom-documents/page.json');
const key = membershipKey(slug, path);
const docId = '7d3c5a52-1f3c-4c59-9c8e-3f0a4f8f5d11';

function open(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-new-vectors-'));
  const databasePath = join(directory, 'anythingllm.db');
  const database = createTestDatabase(databasePath);
  const records = openRecords({ databasePath, clock, busyMs: 1000 });
  const manifest = openManifest({ directory: join(directory, 'state'), clock });
  t.after(() => {
    records[Symbol.dispose]();
    manifest[Symbol.dispose]();
    database.close();
    rmSync(directory, { recursive: true });
  });
  const record = (what: Key, content: Content): void => {
    const version = { revision: 1, replica: 'a' };
    manifest.record({
      key: what,
      version,
      base: {},
      state: 'present',
      hash: contentHash(content),
      content,
      time: 0,
      applied: true,
      logged: true,
    });
  };
  record(workspaceKey(slug), plainWorkspace);
  record(key, { copies: [{ docId, pinned: false }] });
  records.putWorkspace(slug, plainWorkspace);
  records.setMemberships([{ slug, path, copies: [{ docId, pinned: false }], expected: [], metadata: '{}' }]);
  records.addVectorIds(['ours-1', 'ours-2'].map((vectorId) => ({ docId, vectorId })));
  manifest.putFill({ docId, hash: 'h', idsHash: idsHashOf(['ours-1', 'ours-2']) });
  const add = (vectorId: string, to = docId): void => {
    database.prepare('insert into document_vectors (docId, vectorId) values (?, ?)').run(to, vectorId);
  };
  const notice = (): readonly Key[] => {
    noticeNewVectors({ replica: { records } as never, manifest, state: { freshSince: new Map() } as never, clock });
    const keys = manifest.intents().map((intent) => intent.key);
    manifest.dropIntents(key);
    return keys;
  };
  return { records, manifest, add, notice };
}

test('vectors that AnythingLLM puts beside recorded ones are noticed once, however late', (t) => {
  const { add, notice } = open(t);
  assert.deepEqual(notice(), []);
  add('theirs-1');
  assert.deepEqual(notice(), [key]);
  assert.deepEqual(notice(), [], 'nothing came since');
});

test('rows of recorded vectors that came in two parts, and rows of unknown documents, ask for nothing', (t) => {
  const { records, manifest, add, notice } = open(t);
  notice();
  records.addVectorIds([{ docId, vectorId: 'ours-3' }]);
  manifest.putFill({ docId, hash: 'h', idsHash: idsHashOf(['ours-1', 'ours-2', 'ours-3']) });
  add('theirs-1', 'another-document');
  assert.deepEqual(notice(), []);
});

test('vectors that came while the agent was away are noticed when it is back', (t) => {
  const { add, notice } = open(t);
  add('theirs-1');
  assert.deepEqual(notice(), [key], 'a manifest that has never looked looks at all rows');
});
