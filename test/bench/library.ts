// A replica's storage with very many embedded documents, written directly: files, caches and rows as AnythingLLM leaves them, only faster.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { cacheName } from '../stand-in/names.ts';
import { cacheDir, databaseFile, documentsDir } from '../stand-in/storage.ts';
import { cacheJson, createContent, createRandom, uuidOf } from './content.ts';
import { openRawChroma, prepare, type Row } from './raw-chroma.ts';

export type LibraryOptions = {
  readonly storageDir: string;
  /** of a workspace that exists */
  readonly slug: string;
  readonly documents: number;
  readonly dimensions: number;
  readonly now: number;
  /** the replica's Chroma: an agent that does not find there what the rows name would fill it first */
  readonly chroma: string;
};

const VECTORS_PER_REQUEST = 5_000;
/** Short ones: Chroma's index of words takes most of its time, and an agent at rest does not read them. */
const TEXT_CHARACTERS = 60;

const DOCUMENTS_PER_FOLDER = 10_000;

/** One chunk in each document: what an agent at rest costs depends on their number alone. Returns the folders. */
export async function writeLibrary(
  { storageDir, slug, documents, dimensions, now, chroma }: LibraryOptions,
  signal: AbortSignal,
): Promise<readonly string[]> {
  using raw = openRawChroma(chroma, signal);
  const collection = await raw.collection(slug);
  let rows: Row[] = [];
  const sendRows = async (): Promise<void> => {
    for (const { body } of prepare(rows, VECTORS_PER_REQUEST)) await raw.send(collection, 'add', body);
    rows = [];
  };
  const content = createContent(dimensions, 1, TEXT_CHARACTERS);
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
    rows.push({ id: vectorId, embedding, index: 0 });
    if (rows.length === VECTORS_PER_REQUEST) await sendRows();
    addRow.run(docId, filename, docpath, workspaceId, JSON.stringify(embedding.metadatas[0]), now, now);
  }
  database.exec('commit');
  await sendRows();
  return folders;
}
