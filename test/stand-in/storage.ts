// A storage directory as a freshly started AnythingLLM v1.16 leaves it: the database, and nothing else (documents/ and vector-cache/
// appear with the first document). The simulation makes thousands, so the database can be copied from a template.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export const databaseFile = (storageDir: string): string => join(storageDir, 'anythingllm.db');
export const documentsDir = (storageDir: string): string => join(storageDir, 'documents');
export const cacheDir = (storageDir: string): string => join(storageDir, 'vector-cache');

/** Makes the directory and its database; a database that is there already is left alone. `template`: a file of `createTemplate`. */
export function createStorage(storageDir: string, template?: string): void {
  mkdirSync(storageDir, { recursive: true });
  const file = databaseFile(storageDir);
  if (existsSync(file)) return;
  if (template === undefined) createTemplate(file);
  else copyFileSync(template, file);
}

/** Writes an empty database of v1.16 to a file that does not exist yet. */
export function createTemplate(file: string): void {
  using database = new DatabaseSync(file);
  database.exec('PRAGMA synchronous = off'); // of this connection only; an empty database is quickly made again
  database.exec('BEGIN');
  database.exec(readFileSync(join(import.meta.dirname, 'schema.sql'), 'utf8'));
  database.exec('COMMIT');
}
