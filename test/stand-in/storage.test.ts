import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { createStorage, createTemplate, databaseFile } from './storage.ts';

const directory = mkdtempSync(join(tmpdir(), 'docbus-storage-'));
after(() => rmSync(directory, { recursive: true, force: true }));

// Of the database that the 40 migrations of AnythingLLM v1.16.0 leave: computed from the real ones with `schemaOf` below.
const REAL_SCHEMA = '4343b70cb133f242f376cffd05a3b5c0f3653f0e93815ff86689f7cec84e60cf';

/** Columns in order, foreign keys and indexes of every table but Prisma's own. */
function schemaOf(database: DatabaseSync): unknown {
  const tables = database
    .prepare(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> '_prisma_migrations' ORDER BY name",
    )
    .all() as { name: string }[];
  return tables.map(({ name }) => {
    const indexes = database.prepare(`PRAGMA index_list("${name}")`).all() as { name: string; unique: number }[];
    const columnsOf = (index: string): string =>
      (database.prepare(`PRAGMA index_info("${index}")`).all() as { name: string }[]).map((column) => column.name).join(',');
    return {
      name,
      columns: database.prepare(`PRAGMA table_info("${name}")`).all(),
      foreignKeys: (database.prepare(`PRAGMA foreign_key_list("${name}")`).all() as Record<string, unknown>[])
        .map(({ from, table, to, on_update, on_delete }) => [from, table, to, on_update, on_delete].join(' '))
        .toSorted(),
      indexes: indexes.map((index) => [index.name, index.unique, columnsOf(index.name)].join(' ')).toSorted(),
    };
  });
}

const digestOf = (schema: unknown): string => createHash('sha256').update(JSON.stringify(schema)).digest('hex');

test('the schema is that of AnythingLLM v1.16.0, column by column', () => {
  const storage = join(directory, 'schema');
  createStorage(storage);
  using database = new DatabaseSync(databaseFile(storage));
  assert.equal(digestOf(schemaOf(database)), REAL_SCHEMA);
  assert.throws(() => database.exec("INSERT INTO workspaces (name, slug, topN) VALUES ('x', 'x', 0)"), /CHECK constraint failed/);
  assert.equal((database.prepare('PRAGMA journal_mode').get() as { journal_mode: string }).journal_mode, 'delete');
  assert.equal((database.prepare('SELECT count(*) AS count FROM _prisma_migrations').get() as { count: number }).count, 40);
});

test('a new storage holds the database and nothing else, and making it again changes nothing', () => {
  const storage = join(directory, 'new');
  createStorage(storage);
  assert.deepEqual(readdirSync(storage), ['anythingllm.db']);
  {
    using database = new DatabaseSync(databaseFile(storage));
    database.exec("INSERT INTO workspaces (name, slug) VALUES ('kept', 'kept')");
  }
  createStorage(storage);
  using database = new DatabaseSync(databaseFile(storage));
  assert.equal((database.prepare('SELECT slug FROM workspaces').get() as { slug: string }).slug, 'kept');
});

test('a storage made from a template is the same', () => {
  const template = join(directory, 'template.db');
  createTemplate(template);
  const storage = join(directory, 'copied');
  createStorage(storage, template);
  using database = new DatabaseSync(databaseFile(storage));
  assert.equal(digestOf(schemaOf(database)), REAL_SCHEMA);
});
