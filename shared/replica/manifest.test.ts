import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { documentKey, parseDocPath, type Change } from '@docbus/core';
import { systemClock as clock } from '@docbus/runtime';
import { openManifest } from './manifest.ts';

const key = documentKey(parseDocPath('f/a.json'));
const change = (revision: number): Change => ({
  key,
  version: { revision, replica: 'a' },
  base: {},
  hash: '',
  instance: 'i',
  time: 1,
  state: 'deleted',
  content: null,
});

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-manifest-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return directory;
}

test('what was met of a key is forgotten once an entry says as much, not before', (t) => {
  using manifest = openManifest({ directory: scratch(t), clock });
  const record = (revision: number): void => manifest.record({ ...change(revision), applied: true, logged: true });
  manifest.noteMet(key, { revision: 5, hash: 'h' });
  manifest.noteMet(key, { revision: 3, hash: 'older' });
  record(4);
  assert.deepEqual(manifest.met(key), { revision: 5, hash: 'h' });
  record(5);
  assert.equal(manifest.met(key), undefined);
});

test('a manifest that somebody else is just recovering is waited for', async (t) => {
  const directory = scratch(t);
  openManifest({ directory, clock })[Symbol.dispose]();
  // As SQLite does while it recovers a file whose writer was killed: nobody else may even read.
  const holder = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '--eval',
    `import { DatabaseSync } from 'node:sqlite';
     const database = new DatabaseSync(process.argv[1]);
     database.exec('pragma locking_mode = exclusive; begin immediate; update meta set value = value');
     console.log('held');
     setTimeout(() => database.close(), 300);`,
    join(directory, 'manifest.db'),
  ]);
  const ended = once(holder, 'exit');
  await once(holder.stdout, 'data');
  using manifest = openManifest({ directory, clock });
  assert.equal(manifest.setAside, undefined);
  assert.deepEqual(await ended, [0, null]);
});

test('a manifest of an earlier docbus, whose outbox has a column more, is used as it is', (t) => {
  const directory = scratch(t);
  {
    using database = new DatabaseSync(join(directory, 'manifest.db'));
    database.exec(
      'create table outbox (key text primary key, seq integer not null, change text not null, packed blob, fills text) without rowid',
    );
  }
  using manifest = openManifest({ directory, clock });
  assert.equal(manifest.setAside, undefined);
  manifest.putOutbox([{ change: change(1), packed: undefined }]);
  assert.deepEqual(manifest.outbox(), [{ change: change(1), packed: undefined }]);
});
