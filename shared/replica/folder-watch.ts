// Watches what happens directly inside one folder, by the kernel's own messages (inotify): the name of what changed, within a
// millisecond, without listing the folder. chokidar would list it, and stat and remember every file: 245 MB at 200,000 files.
import { lstatSync, type Stats, unwatchFile, watch, watchFile } from 'node:fs';
import { basename, join } from 'node:path';
import { isAbsence } from './files.ts';

export type FolderWatch = {
  readonly path: string;
  /** For mounts that send no messages: the folder's own time is looked at, at this interval. Only what is added or removed is noticed then. */
  readonly pollMs: number | undefined;
  /** `name` is undefined where the kernel does not say: anything in the folder may have changed. */
  readonly onChange: (name: string | undefined) => void;
  /** The folder was removed or replaced, and the watch is dead. */
  readonly onGone: () => void;
  readonly onError: (error: unknown) => void;
};

/** undefined where there is no such folder, or it cannot be watched (which `onError` is told). */
export function watchFolder(folder: FolderWatch): Disposable | undefined {
  return folder.pollMs === undefined ? watchByMessages(folder) : watchByTime(folder, folder.pollMs);
}

function watchByMessages({ path, onChange, onGone, onError }: FolderWatch): Disposable | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (event, name) => {
      onChange(name ?? undefined);
      // A folder's own end comes as a rename of its own name.
      if (event === 'rename' && name === basename(path) && !exists(join(path, name))) onGone();
    });
    // Dead from here on; watching again at once could fail again at once, for ever.
    watcher.on('error', onError);
    return { [Symbol.dispose]: () => watcher.close() };
  } catch (error) {
    if (!isAbsence(error)) onError(error);
    return undefined;
  }
}

function watchByTime({ path, onChange }: FolderWatch, pollMs: number): Disposable | undefined {
  if (!exists(path)) return undefined;
  const listener = (now: Stats, before: Stats): void => {
    if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) onChange(undefined);
  };
  watchFile(path, { interval: pollMs, persistent: false }, listener);
  return { [Symbol.dispose]: () => unwatchFile(path, listener) };
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
