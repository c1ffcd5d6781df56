// vector-cache/ of one AnythingLLM: the embedding of each document, keyed by its docpath alone (not by content, model or chunking).
// AnythingLLM deletes and re-creates the directory whenever chunk settings are saved, so it may vanish between any two calls.
import { join } from 'node:path';
import { createUuidV5, encodeEmbedding, isDocbusError, reasonOf, sha256, URL_NAMESPACE, type DocPath, type Embedding } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import { cacheBytesMax, parseCache, writeCache } from './cache-file.ts';
import { createDiskSync, type DiskSync } from './disk-sync.ts';
import { ensureFolder, folderExists, readSettled, removeFile, removeLeftovers, replaceFile, requireStorage, signatureAt } from './files.ts';
import type { Caches, Reading } from './port.ts';

export type CachesOptions = {
  readonly storageDir: string;
  readonly clock: Clock;
  /** Sync what is written to the disk; `synced` waits for it (default true). One DiskSync may serve several. */
  readonly durable?: boolean | DiskSync;
};

export function openCaches(options: CachesOptions): Caches {
  const { storageDir, clock, durable = true } = options;
  const root = join(storageDir, 'vector-cache');
  const diskSync = durable === true ? createDiskSync(storageDir) : durable === false ? undefined : durable;
  const fileOf = (path: DocPath): string => `${root}/${cacheName(path)}`;

  removeLeftovers(root, { below: false });

  return {
    name: cacheName,

    signature: (path) => {
      const signature = signatureAt(fileOf(path));
      if (signature === undefined) requireStorage(storageDir);
      return signature;
    },

    read: (path): Reading<Embedding> => {
      const reading = readSettled(fileOf(path), cacheBytesMax, clock);
      if (reading.type === 'absent') requireStorage(storageDir);
      if (reading.type !== 'read') return reading;
      const parsed = parseCache(reading.bytes);
      const unsettled = (reason: string): Reading<Embedding> => ({
        type: 'unsettled',
        reason,
        signature: reading.racy ? undefined : reading.signature,
      });
      if ('reason' in parsed) return unsettled(parsed.reason);
      try {
        const hash = sha256(encodeEmbedding(parsed.embedding));
        return { type: 'read', value: parsed.embedding, hash, signature: reading.signature, racy: reading.racy };
      } catch (error) {
        if (isDocbusError(error, 'vectors_refused')) return unsettled(reasonOf(error));
        throw error;
      }
    },

    write: (path, embedding, ids) => {
      requireStorage(storageDir);
      if (!folderExists(root)) ensureFolder(root, diskSync !== undefined);
      replaceFile(fileOf(path), { durable: diskSync ?? false, clock }, (file) => writeCache(file, embedding, ids));
    },

    remove: (path) => {
      if (!removeFile(fileOf(path))) return requireStorage(storageDir);
      diskSync?.removed(root);
    },

    synced: async () => await diskSync?.synced(),
  };
}

const uuidOf = createUuidV5(URL_NAMESPACE);

/** AnythingLLM hashes the docpath exactly as its callers pass it. */
export function cacheName(path: DocPath): string {
  return `${uuidOf(path)}.json`;
}
