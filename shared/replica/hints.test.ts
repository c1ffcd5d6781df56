import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@docbus/runtime/clock.ts';
import { openDocuments } from './documents.ts';
import { parseDocPath } from '@docbus/core';
import { type StorageHint, storageHints, type StorageHintsOptions } from './hints.ts';

/** A storage that is watched, and everything that was hinted so far. */
function watched(t: TestContext, change: Partial<StorageHintsOptions> = {}, prepare: (storageDir: string) => void = () => {}) {
  const storageDir = mkdtempSync(join(tmpdir(), 'docbus-hints-'));
  mkdirSync(join(storageDir, 'documents/folder'), { recursive: true });
  mkdirSync(join(storageDir, 'vector-cache'));
  prepare(storageDir);
  const stop = new AbortController();
  const errors: unknown[] = [];
  const seen = {
    all: false,
    folders: new Set<string>(),
    paths: new Set<string>(),
    caches: new Set<string>(),
    allCaches: false,
    records: false,
  };
  const take = (hint: StorageHint): void => {
    seen.all ||= hint.all;
    seen.allCaches ||= hint.allCaches;
    seen.records ||= hint.records;
    for (const name of hint.folders) seen.folders.add(name);
    for (const name of hint.paths) seen.paths.add(name);
    for (const name of hint.caches) seen.caches.add(name);
  };
  const options: StorageHintsOptions = {
    storageDir: `${storageDir}/`,
    databasePath: join(storageDir, 'anythingllm.db'),
    pollMs: 20,
    onError: (error) => errors.push(error),
    ...change,
  };
  const listening = (async () => {
    for await (const hint of storageHints(options, stop.signal)) take(hint);
  })();
  t.after(async () => {
    stop.abort();
    await listening;
    rmSync(storageDir, { recursive: true, force: true });
  });
  const until = async (condition: () => boolean): Promise<void> => {
    for (const end = Date.now() + 15_000; !condition();) {
      if (Date.now() > end)
        assert.fail(
          `no hint for it; so far ${JSON.stringify(seen, (_key, value: unknown) => (value instanceof Set ? [...value] : value))}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  return { storageDir, seen, errors, until, stop, listening };
}

test('a document that is made, rewritten, moved or removed is hinted by its path', async (t) => {
  const { storageDir, seen, until } = watched(t);
  const folder = join(storageDir, 'documents/folder');
  writeFileSync(join(folder, 'a.json'), '{}');
  await until(() => seen.paths.has('folder/a.json'));
  for (const touch of [
    () => writeFileSync(join(folder, 'a.json'), '{"a":1}'),
    () => renameSync(join(folder, 'a.json'), join(folder, 'b.json')),
    () => unlinkSync(join(folder, 'b.json')),
  ]) {
    seen.paths.clear();
    touch();
    await until(() => seen.paths.size > 0);
  }
  assert.ok(seen.paths.has('folder/b.json'));
});

test('a folder that comes is hinted as a whole and watched from then on, also when it comes again', async (t) => {
  const { storageDir, seen, until } = watched(t);
  const folder = join(storageDir, 'documents/later');
  for (let time = 0; time < 3; time++) {
    seen.folders.clear();
    seen.paths.clear();
    mkdirSync(folder);
    writeFileSync(join(folder, 'early.json'), '{}');
    await until(() => seen.folders.has('later'));
    writeFileSync(join(folder, 'a.json'), '{}');
    await until(() => seen.paths.has('later/a.json'));
    seen.folders.clear();
    rmSync(folder, { recursive: true });
    await until(() => seen.folders.has('later'));
  }
});

test('caches are hinted by name, and as a whole when the directory is deleted and made again', async (t) => {
  const { storageDir, seen, until } = watched(t);
  const caches = join(storageDir, 'vector-cache');
  for (let time = 0; time < 3; time++) {
    writeFileSync(join(caches, 'a.json'), '[]');
    await until(() => seen.caches.has('a.json'));
    seen.allCaches = false;
    rmSync(caches, { recursive: true });
    mkdirSync(caches);
    await until(() => seen.allCaches);
    // The new directory may be under watch a moment later only.
    await until(() => {
      writeFileSync(join(caches, 'probe.json'), '[]');
      return seen.caches.has('probe.json');
    });
    seen.caches.clear();
  }
});

test('places that do not exist yet are watched when they come', async (t) => {
  const { storageDir, seen, until } = watched(t, {}, (storage) => {
    rmSync(join(storage, 'documents'), { recursive: true });
    rmSync(join(storage, 'vector-cache'), { recursive: true });
  });
  for (let time = 0; time < 3; time++) {
    mkdirSync(join(storageDir, 'documents/folder'), { recursive: true });
    mkdirSync(join(storageDir, 'vector-cache'));
    await until(() => seen.folders.has('folder') && seen.allCaches);
    writeFileSync(join(storageDir, 'documents/folder/a.json'), '{}');
    await until(() => seen.paths.has('folder/a.json'));
    rmSync(join(storageDir, 'documents'), { recursive: true });
    rmSync(join(storageDir, 'vector-cache'), { recursive: true });
    await until(() => seen.all);
    seen.all = seen.allCaches = false;
    seen.folders.clear();
    seen.paths.clear();
  }
});

test('a write to the database or its journal is hinted, other files beside it are not', async (t) => {
  const { storageDir, seen, until } = watched(t);
  writeFileSync(join(storageDir, 'other.txt'), '');
  writeFileSync(join(storageDir, 'documents/folder/a.json'), '{}');
  await until(() => seen.paths.size > 0);
  assert.equal(seen.records, false);
  for (const name of ['anythingllm.db-journal', 'anythingllm.db']) {
    seen.records = false;
    writeFileSync(join(storageDir, name), '');
    await until(() => seen.records);
  }
});

test('a transaction that is being committed is hinted when its journal is gone', async (t) => {
  const { storageDir, seen, until } = watched(t);
  const [database, journal] = ['anythingllm.db', 'anythingllm.db-journal'].map((name) => join(storageDir, name)) as [string, string];
  writeFileSync(journal, 'pages as they were');
  writeFileSync(database, 'pages');
  writeFileSync(join(storageDir, 'documents/folder/a.json'), '{}');
  await until(() => seen.paths.size > 0);
  assert.equal(seen.records, false);
  unlinkSync(journal);
  await until(() => seen.records);
});

test('our own temporary files are no hint, the file they become is', async (t) => {
  const { storageDir, seen, until } = watched(t);
  openDocuments({ storageDir, clock: systemClock, documentBytesMax: 1_000 }).write(parseDocPath('folder/a.json'), Buffer.from('{}'));
  await until(() => seen.paths.has('folder/a.json'));
  assert.deepEqual([...seen.paths], ['folder/a.json']);
  assert.deepEqual([...seen.folders], []);
});

test('a name that cannot be replicated hints its folder, and a thousand names at once too', async (t) => {
  const { storageDir, seen, until } = watched(t);
  const folder = join(storageDir, 'documents/folder');
  writeFileSync(join(folder, 'note.txt'), '');
  await until(() => seen.folders.has('folder'));
  seen.folders.clear();
  for (let index = 0; index < 1_500; index++) writeFileSync(join(folder, `${index}.json`), '{}');
  await until(() => seen.folders.has('folder') || seen.paths.size === 1_500);
});

test('with polling, what is added or removed is hinted by folder', async (t) => {
  const { storageDir, seen, until } = watched(t, { polling: true });
  // The first look at the times is the one that later ones are compared with.
  let count = 0;
  await until(() => {
    writeFileSync(join(storageDir, `documents/folder/${count++}.json`), '{}');
    return seen.folders.has('folder');
  });
  mkdirSync(join(storageDir, 'documents/later'));
  await until(() => seen.folders.has('later'));
  await until(() => {
    writeFileSync(join(storageDir, `vector-cache/${count++}.json`), '[]');
    return seen.allCaches;
  });
});

test('a place that cannot be watched is told once, and the others are watched', async (t) => {
  const { storageDir, seen, errors, until } = watched(t, { databasePath: `/${'x'.repeat(300)}/anythingllm.db` });
  writeFileSync(join(storageDir, 'documents/folder/a.json'), '{}');
  await until(() => seen.paths.has('folder/a.json'));
  assert.equal(errors.length, 1);
  assert.match(String(errors[0]), /ENAMETOOLONG/);
});

test('it ends when the signal aborts, whatever it waits for', async (t) => {
  const { stop, listening } = watched(t);
  stop.abort();
  await listening;
});
