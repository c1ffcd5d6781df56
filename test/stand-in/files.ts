// documents/ and vector-cache/ as the original treats them: written in place under the final name, so that an empty and a half file
// can be seen there, read by existence, and removed without a look at what else refers to them.
import { closeSync, existsSync, lstatSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { App } from './app.ts';
import type { Effect } from './effects.ts';
import { cacheName, sanitizeFileName } from './names.ts';
import { cacheDir, documentsDir } from './storage.ts';

/** A document's JSON: at least pageContent and the fields that AnythingLLM's file picker asks for. */
export type DocumentData = Record<string, unknown>;

export function* writeDocument(app: App, folder: string, name: string, data: DocumentData): Generator<Effect, string> {
  const directory = join(documentsDir(app.storageDir), folder);
  if (!existsSync(directory)) {
    mkdirSync(directory, { recursive: true });
    yield { done: 'folder created', to: folder };
  }
  const docpath = `${folder}/${sanitizeFileName(name)}.json`;
  yield* writeInPlace('document', join(documentsDir(app.storageDir), docpath), JSON.stringify(data, null, 4), docpath);
  return docpath;
}

/** Over the file that is there, without a look at what became of it meanwhile. */
export function* overwriteDocument(app: App, docpath: string, data: DocumentData): Generator<Effect, void> {
  yield* writeInPlace('document', join(documentsDir(app.storageDir), docpath), JSON.stringify(data, null, 4), docpath);
}

export function* moveDocument(app: App, from: string, to: string): Generator<Effect, void> {
  renameSync(join(documentsDir(app.storageDir), from), join(documentsDir(app.storageDir), to));
  yield { done: 'document moved', to };
}

/** Undefined when it is missing; throws when it is half written. */
export function* readDocument(app: App, docpath: string): Generator<Effect, DocumentData | undefined> {
  const file = join(documentsDir(app.storageDir), docpath);
  if (!existsSync(file)) return undefined;
  const data = JSON.parse(readFileSync(file, 'utf8')) as DocumentData;
  yield { done: 'document read', to: docpath };
  return data;
}

export function* removeDocumentFile(app: App, docpath: string): Generator<Effect, void> {
  yield* removeFile(join(documentsDir(app.storageDir), docpath), { done: 'document removed', to: docpath });
}

/** One vector of a cache; caches hold batches of at most 500 of them. */
export type CachedVector = { readonly id: string; readonly values: number[]; readonly metadata: Record<string, unknown> };

/** Undefined when there is none. No look at its shape, its age or what it was made from. */
export function* readCache(app: App, docpath: string): Generator<Effect, CachedVector[][] | undefined> {
  const file = join(cacheDir(app.storageDir), cacheName(docpath));
  if (!existsSync(file)) return undefined;
  const batches = JSON.parse(readFileSync(file, 'utf8')) as CachedVector[][];
  yield { done: 'cache read', to: docpath };
  return batches;
}

export function* writeCache(app: App, docpath: string, batches: readonly CachedVector[][]): Generator<Effect, void> {
  const directory = cacheDir(app.storageDir);
  if (!existsSync(directory)) mkdirSync(directory);
  yield* writeInPlace('cache', join(directory, cacheName(docpath)), JSON.stringify(batches), docpath);
}

export function* removeCache(app: App, docpath: string): Generator<Effect, void> {
  yield* removeFile(join(cacheDir(app.storageDir), cacheName(docpath)), { done: 'cache removed', to: docpath });
}

/** The directory itself goes and comes back. */
export function* removeAllCaches(app: App): Generator<Effect, void> {
  const directory = cacheDir(app.storageDir);
  rmSync(directory, { recursive: true, force: true });
  yield { done: 'cache folder removed', to: basename(directory) };
  mkdirSync(directory);
  yield { done: 'cache folder created', to: basename(directory) };
}

function* removeFile(file: string, effect: Effect): Generator<Effect, void> {
  if (!existsSync(file) || !lstatSync(file).isFile()) return;
  rmSync(file);
  yield effect;
}

/** The original writes in one call; its readers see what the system lets them see of that: an empty file, then more and more of it. */
function* writeInPlace(kind: 'document' | 'cache', file: string, text: string, to: string): Generator<Effect, void> {
  const bytes = Buffer.from(text);
  const opened = openSync(file, 'w');
  try {
    yield { done: `${kind} truncated`, to };
    const half = bytes.length >> 1;
    writeAll(opened, bytes.subarray(0, half));
    yield { done: `${kind} half written`, to };
    writeAll(opened, bytes.subarray(half));
  } finally {
    closeSync(opened);
  }
  yield { done: `${kind} written`, to };
}

function writeAll(opened: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length;) written += writeSync(opened, bytes, written);
}
