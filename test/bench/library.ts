// A replica's storage with very many embedded documents, written directly: files, caches and rows as AnythingLLM leaves them, only faster.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { cacheName } from '../stand-in/names.ts';
import { cacheDir, databaseFile, documentsDir } from '../stand-in/storage.ts';
import { cacheJson, createContent, createRandom, uuidOf } from './content.ts';

export type LibraryOptions = {
  readonly storageDir: string;
  /** of a workspace that exists */
  readonly slug: string;
  readonly documents: number;
  readonly dimensions: number;
  readonly now: number;
};

const DOCUMENTS_PER_FOLDER = 10_000;

/** One chunk in each document: what an agent at rest costs depends on their number alone. Returns the folders. */
export function writeLibrary({ storageDir, slug, documents, dimensions, now }: LibraryOptions): readonly string[] {
  const content = createContent(dimensions);
  const random = createRandom(3);
  const folders: string[] = [];
  mkdirSync(cacheDir(storageDir), { recursive: true });
  using database = new DatabaseSync(databaseFile(storageDir));
  database.exec('pragma synchronous = off; begin');
  const workspaceId = Number(database.prepare('select id from workspaces where slug = ?').get(slug)?.['id']);
  const addRow = database.prepare(
    'insert into workspace_documents (docId, filename, docpath, workspaceId, metadata, createdAt, lastUpdatedAt, pinned, watched) values (?, ?, ?, ?, ?, ?, ?, 0, 0)',
  );
  const addVector = database.prepare('insert into document_vectors (docId, vectorId, createdAt, lastUpdatedAt) values (?, ?, ?, ?)');
  for (let i = 0; i < documents; i++) {
    const { path, bytes, embedding, docId } = content.document(i, 1);
    const filename = path.slice(path.indexOf('/') + 1);
    const folder = `shelf-${Math.floor(i / DOCUMENTS_PER_FOLDER)}`;
    if (folders.at(-1) !== folder) {
      folders.push(folder);
      mkdirSync(join(documentsDir(storageDir), folder), { recursive: true });
    }
    const docpath = `${folder}/${filename}`;
    const vectorId = uuidOf(random);
    writeFileSync(join(documentsDir(storageDir), docpath), bytes);
    writeFileSync(
      join(cacheDir(storageDir), cacheName(docpath)),
      cacheJson(embedding, () => vectorId),
    );
    addVector.run(docId, vectorId, now, now);
    addRow.run(docId, filename, docpath, workspaceId, JSON.stringify(embedding.metadatas[0]), now, now);
  }
  database.exec('commit');
  return folders;
}
