// documents/ of one AnythingLLM: `<folder>/<file>.json`, exactly one folder level. Documents are bytes here; all that is asked
// of them is that they are one JSON object, because AnythingLLM writes in place and a half-written file must not travel.
import { type Dirent, readdirSync, rmdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isDocbusError, parseDocPath, reasonOf, sha256, type DocPath } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { createDiskSync, type DiskSync } from './disk-sync.ts';
import {
  codeOf,
  diskError,
  ensureFolder,
  folderExists,
  isAbsence,
  readSettled,
  refused,
  removeFile,
  removeLeftovers,
  replaceFile,
  requireStorage,
  signatureAt,
  statAt,
} from './files.ts';
import { sortUtf8 } from './order.ts';
import type { Documents, Problem, Reading } from './port.ts';

/** AnythingLLM expects this folder and never removes it. */
const PROTECTED_FOLDER = 'custom-documents';

export type DocumentsOptions = {
  readonly storageDir: string;
  readonly clock: Clock;
  readonly documentBytesMax: number;
  /** Sync what is written to the disk; `synced` waits for it (default true). One DiskSync may serve several; see DECISIONS.md for its cost. */
  readonly durable?: boolean | DiskSync;
};

export function openDocuments(options: DocumentsOptions): Documents {
  const { storageDir, clock, documentBytesMax, durable = true } = options;
  const root = join(storageDir, 'documents');
  const diskSync = durable === true ? createDiskSync(storageDir) : durable === false ? undefined : durable;

  const fileOf = (path: DocPath): string => `${root}/${path}`;
  const folderOf = (path: DocPath): string => join(root, path.slice(0, path.indexOf('/')));

  function entriesOf(folder: string): Dirent[] {
    try {
      return readdirSync(folder, { withFileTypes: true });
    } catch (error) {
      if (!isAbsence(error)) throw diskError(error, folder, 'list');
      requireStorage(storageDir);
      return [];
    }
  }

  /** True where the folder is there; throws where something else is in its place. */
  function checkFolder(folder: string): boolean {
    const there = statAt(folder);
    if (there === undefined) return false;
    if (!there.isDirectory()) throw refused(folder, there.isSymbolicLink() ? 'is a symbolic link' : 'is not a folder');
    return true;
  }

  removeLeftovers(root, { below: true });

  return {
    exists: () => {
      requireStorage(storageDir);
      return entriesOf(root).some((entry) => entry.isDirectory());
    },

    folders: () => {
      const names = entriesOf(root)
        .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
        // The slash takes part in the order, so that folder by folder is docpath by docpath ("a-b/…" before "a/…").
        .map((entry) => `${entry.name}/`);
      return sortUtf8(names).map((name) => name.slice(0, -1));
    },

    list: (folder) => {
      const reason = folderProblem(folder);
      if (reason !== undefined) return { paths: [], problems: [{ name: folder, reason }] };
      const there = statAt(join(root, folder));
      if (there !== undefined && !there.isDirectory())
        return { paths: [], problems: [{ name: folder, reason: there.isSymbolicLink() ? 'is a symbolic link' : 'is not a folder' }] };
      const paths: DocPath[] = [];
      const problems: Problem[] = [];
      for (const entry of entriesOf(join(root, folder))) {
        if (entry.name.startsWith('.')) continue;
        const name = `${folder}/${entry.name}`;
        if (!entry.isFile()) {
          problems.push({ name, reason: entry.isSymbolicLink() ? 'is a symbolic link' : 'is not a regular file' });
          continue;
        }
        try {
          paths.push(parseDocPath(name));
        } catch (error) {
          if (!isDocbusError(error, 'path_refused')) throw error;
          problems.push({ name, reason: reasonOf(error) });
        }
      }
      return { paths: sortUtf8(paths) as DocPath[], problems };
    },

    signature: (path) => {
      const signature = signatureAt(fileOf(path));
      if (signature === undefined) requireStorage(storageDir);
      return signature;
    },

    read: (path) => {
      if (!checkFolder(folderOf(path))) {
        requireStorage(storageDir);
        return { type: 'absent' };
      }
      const reading = readSettled(fileOf(path), documentBytesMax, clock);
      if (reading.type === 'absent') requireStorage(storageDir);
      if (reading.type !== 'read') return reading;
      const { bytes, signature, racy } = reading;
      const reason = objectProblem(bytes);
      if (reason !== undefined) return { type: 'unsettled', reason, signature: racy ? undefined : signature };
      return { type: 'read', value: bytes, hash: sha256(bytes), signature, racy } satisfies Reading<Uint8Array>;
    },

    write: (path, bytes) => {
      requireStorage(storageDir);
      if (!folderExists(root)) ensureFolder(root, diskSync !== undefined);
      ensureFolder(folderOf(path), diskSync !== undefined);
      replaceFile(fileOf(path), { durable: diskSync ?? false, clock }, (file) => writeAll(file, bytes));
    },

    remove: (path) => {
      const folder = folderOf(path);
      if (!checkFolder(folder)) return requireStorage(storageDir);
      const removed = removeFile(fileOf(path));
      if (!folder.endsWith(`/${PROTECTED_FOLDER}`) && removeFolderIfEmpty(folder)) {
        diskSync?.removed(root);
      } else if (removed) diskSync?.removed(folder);
    },

    synced: async () => await diskSync?.synced(),
  };
}

/** Why the bytes are not (yet) a document; undefined where they are. */
function objectProblem(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return 'it is empty';
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? undefined : 'it is not a JSON object';
  } catch {
    return 'it is not complete JSON';
  }
}

function folderProblem(folder: string): string | undefined {
  try {
    parseDocPath(`${folder}/x.json`);
    return undefined;
  } catch (error) {
    if (isDocbusError(error, 'path_refused')) return reasonOf(error);
    throw error;
  }
}

function removeFolderIfEmpty(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    if (isAbsence(error) || codeOf(error) === 'ENOTEMPTY' || codeOf(error) === 'EEXIST') return false;
    throw diskError(error, folder, 'remove');
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(file, bytes, written);
}
