import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { workspaceKey, type Slug } from '@docbus/core';
import { openCaches } from '@docbus/replica/caches.ts';
import { createFakeChroma } from '@docbus/replica/chroma-fake.ts';
import { createTestDatabase } from '@docbus/replica/database-for-tests.ts';
import { openDocuments } from '@docbus/replica/documents.ts';
import { openManifest } from '@docbus/replica/manifest.ts';
import { openRecords } from '@docbus/replica/records.ts';
import { createFakeVectors } from '@docbus/replica/vectors-fake.ts';
import { silentLogger, systemClock as clock } from '@docbus/runtime';
import { createState } from './context.ts';
import { clearStrays } from './strays.ts';
import { vectorIdsOf } from './vector-ids.ts';

const never = new AbortController().signal;
const slug = 'gamma' as Slug;

// As it was left by an agent that was killed while it filled a workspace that somebody deleted at that moment.
test('vectors of an earlier life go from the collection of a workspace that is gone, before their ids are forgotten', async (t) => {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-strays-'));
  t.after(() => rmSync(storageDir, { recursive: true }));
  const databasePath = join(storageDir, 'anythingllm.db');
  using database = createTestDatabase(databasePath);
  using records = openRecords({ databasePath, clock, busyMs: 1_000 });
  using manifest = openManifest({ directory: join(storageDir, 'state'), clock });
  const vectors = createFakeVectors(createFakeChroma());
  const [id] = vectorIdsOf('a-document', 'a-hash', 1) as [string];
  database.prepare('insert into document_vectors ("docId", "vectorId") values (?, ?)').run('a-document', id);
  await vectors.add(slug, { ids: [id], vectors: new Float32Array([1, 0]), dimensions: 2, texts: ['text'], metadatas: [{}] }, never);
  manifest.record({
    key: workspaceKey(slug),
    version: { revision: 1, replica: 'b' },
    base: {},
    state: 'deleted',
    hash: '',
    content: null,
    time: 0,
    applied: true,
    logged: true,
  });

  const replica = {
    documents: openDocuments({ storageDir, clock, documentBytesMax: 1 << 20 }),
    caches: openCaches({ storageDir, clock }),
    records,
    vectors,
  };
  await clearStrays({ replica, manifest, state: createState(clock), logger: silentLogger }, never);
  assert.deepEqual(records.strayVectorIds(), []);
  assert.deepEqual([...(await vectors.present(slug, [id], never))], []);
});
