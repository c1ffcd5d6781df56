// Forces what was written to the disk, once for many files and beside everything else. A journalling file system commits once for each
// file that is synced by itself, and whoever makes a file meanwhile waits for it: in a rebuild that took longer than all other work.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { codeOf, diskError, isAbsence, isUnsupportedSync } from './files.ts';

export type DiskSync = {
  /** A file was made or replaced, and its name with it. */
  written(path: string): void;
  /** A name in the folder was removed. */
  removed(folder: string): void;
  /** Resolves when all of it is on the disk; throws `disk_full` or `disk_failed` where some of it is not. */
  synced(): Promise<void>;
};

/** More files than this are left to one call for the whole file system. */
const SINGLE_MAX = 16;

const run = promisify(execFile);

/** `root`: everything written is in the file system of this directory. */
export function createDiskSync(root: string): DiskSync {
  let files = new Set<string>();
  let folders = new Set<string>();
  let hasSync = true;
  let running: Promise<void> = Promise.resolve();
  /** asked for and not begun */
  let next: Promise<void> | undefined;

  async function syncAll(some: { readonly files: ReadonlySet<string>; readonly folders: ReadonlySet<string> }): Promise<void> {
    if (some.files.size > SINGLE_MAX && hasSync) {
      try {
        // Node has no syncfs; coreutils and busybox do.
        await run('sync', ['-f', root]);
        return;
      } catch {
        hasSync = false; // one by one, then
      }
    }
    for (const path of some.files) await syncOne(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    for (const path of some.folders) await syncOne(path, constants.O_RDONLY | constants.O_DIRECTORY);
  }

  /** What was written until it begins. */
  async function syncPending(): Promise<void> {
    const some = { files, folders };
    files = new Set();
    folders = new Set();
    try {
      await syncAll(some);
    } catch (error) {
      files = files.union(some.files);
      folders = folders.union(some.folders);
      throw error;
    }
  }

  return {
    written(path) {
      files.add(path);
      folders.add(dirname(path));
    },
    removed: (folder) => void folders.add(folder),
    synced() {
      // Whoever asks while others wait asks for what they wait for, too; those who ask before it begins share one.
      if (next === undefined) {
        next = running
          .catch(() => {}) // its own callers are told
          .then(() => {
            next = undefined;
            return syncPending();
          });
        running = next;
      }
      return next;
    },
  };
}

async function syncOne(path: string, flags: number): Promise<void> {
  try {
    await using file = await open(path, flags);
    await file.sync();
  } catch (error) {
    // What is gone again needs no disk; the next look sees that.
    if (isUnsupportedSync(error) || isAbsence(error) || codeOf(error) === 'ELOOP') return;
    throw diskError(error, path, 'write');
  }
}
