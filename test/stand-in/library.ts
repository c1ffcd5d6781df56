// The document library: folders, moving, and removing for good. Files go before rows do, so that a removal that fails half way leaves
// rows and vectors of a document that is no longer there.
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DocPath } from '@docbus/core';
import { allWorkspaces, type App } from './app.ts';
import type { Steps } from './effects.ts';
import { moveDocument, removeCache, removeDocumentFile } from './files.ts';
import { removeDocuments } from './memberships.ts';
import { documentsDir } from './storage.ts';

/** Rejects (500) when it exists. */
export async function* createFolder(app: App, name: string): Steps<void> {
  const directory = join(documentsDir(app.storageDir), name);
  if (existsSync(directory)) throw new Error(`500: the folder ${name} exists`);
  mkdirSync(directory, { recursive: true });
  yield { done: 'folder created', to: name };
}

export type Move = { readonly from: string; readonly to: string };

/**
 * Documents that are in any workspace stay where they are, without an error; the rest is renamed, over whatever is at the target.
 * Caches are not renamed with them. Returns what was moved; rejects (500) after the rest when one could not be.
 */
export async function* moveFiles(app: App, moves: readonly Move[]): Steps<DocPath[]> {
  const { database } = app;
  const read = (): { docpath: string }[] =>
    database.all(
      'SELECT docpath FROM workspace_documents WHERE docpath IN (SELECT value FROM json_each(?))',
      JSON.stringify(moves.map(({ from }) => from)),
    );
  const embedded = new Set(database.attempt('read documents to move', read, []).map(({ docpath }) => docpath));
  yield { done: 'rows read', to: `${moves.length} documents` };
  const moved: DocPath[] = [];
  let failure: unknown;
  for (const { from, to } of moves.filter((move) => !embedded.has(move.from))) {
    try {
      yield* moveDocument(app, from, to);
      moved.push(to as DocPath);
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw new Error('500: some files could not be moved', { cause: failure });
  return moved;
}

/** Cache, file, and then, for every workspace, whatever it has of the document. Rejects when Chroma is down: the files are gone then. */
export async function* removeDocument(app: App, docpath: string): Steps<void> {
  yield* removeCache(app, docpath);
  yield* removeDocumentFile(app, docpath);
  for (const workspace of allWorkspaces(app)) yield* removeDocuments(app, workspace, [docpath]);
}

/**
 * All caches, then all workspaces at the same time, and the folder with its files last. An unknown name and custom-documents are left
 * alone without an error. With Chroma down the original never answers (nobody handles the rejection, which may end its process);
 * here it rejects. The folder stays then, without its caches.
 */
export async function* removeFolder(app: App, name: string): Steps<void> {
  const directory = join(documentsDir(app.storageDir), name);
  if (name === 'custom-documents' || !existsSync(directory) || !lstatSync(directory).isDirectory()) return;
  const paths = readdirSync(directory).map((file) => `${name}/${file}`);
  const workspaces = allWorkspaces(app);
  yield { done: 'rows read', to: name };
  for (const path of paths) yield* removeCache(app, path);
  yield* inTurns(workspaces.map((workspace) => removeDocuments(app, workspace, paths)));
  rmSync(directory, { recursive: true });
  yield { done: 'folder removed', to: name };
}

/** Several operations at once, one step of each in turn. The first failure ends them all. */
async function* inTurns(operations: readonly Steps<void>[]): Steps<void> {
  let active = operations;
  while (active.length > 0) {
    const ended = new Set<Steps<void>>();
    for (const operation of active) {
      const step = await operation.next();
      if (step.done === true) ended.add(operation);
      else yield step.value;
    }
    active = active.filter((operation) => !ended.has(operation));
  }
}
