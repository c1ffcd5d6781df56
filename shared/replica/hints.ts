// Hints from the file system: which places may have changed since the last look. A lost one costs a sweep interval.
// chokidar follows the folders as they come and go (AnythingLLM deletes and re-creates vector-cache/ whole); what happens
// inside each of them comes from folder-watch.ts, so that nothing is kept for each file.
import { readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { watch as watchTree } from 'chokidar';
import { codeOf, isAbsence, isTemporaryName } from './files.ts';
import { watchFolder } from './folder-watch.ts';
import { createPendingHint, type StorageHint } from './pending-hint.ts';

export type { StorageHint } from './pending-hint.ts';

export type StorageHintsOptions = {
  readonly storageDir: string;
  readonly databasePath: string;
  /** Look at times instead of waiting for the kernel's messages, which network and desktop mounts do not send. */
  readonly polling?: boolean;
  readonly pollMs?: number;
  /** Told once for each kind of failure (ENOSPC: no inotify watches left); the sweeps go on without hints. */
  readonly onError: (error: unknown) => void;
};

/** Yields when something may have changed, until the signal aborts. Watches from the moment of the first `next()`. */
export async function* storageHints(options: StorageHintsOptions, signal: AbortSignal): AsyncGenerator<StorageHint, void, undefined> {
  const { databasePath, polling = false, pollMs = 1_000 } = options;
  const storageDir = resolve(options.storageDir);
  const documents = join(storageDir, 'documents');
  const caches = join(storageDir, 'vector-cache');
  const pending = createPendingHint();
  const watched = new Map<string, Disposable>();

  const failures = new Set<string>();
  const onError = (error: unknown): void => {
    const kind = codeOf(error) ?? String(error);
    if (failures.has(kind)) return;
    failures.add(kind);
    options.onError(error);
  };

  function arm(path: string, changed: (name: string | undefined) => void): void {
    disarm(path);
    const onChange = (name: string | undefined): void => {
      if (name === undefined || !isTemporaryName(name)) changed(name);
    };
    const onGone = (): void => {
      disarm(path);
      changed(undefined);
      // Perhaps it is already there again; if not, chokidar tells when it is.
      arm(path, changed);
    };
    const watch = watchFolder({ path, pollMs: polling ? pollMs : undefined, onChange, onGone, onError });
    if (watch !== undefined) watched.set(path, watch);
  }
  function disarm(path: string): void {
    watched.get(path)?.[Symbol.dispose]();
    watched.delete(path);
  }

  const watchDocuments = (folder: string): void => arm(join(documents, folder), (name) => pending.document(folder, name));
  const watchCaches = (): void => arm(caches, (name) => pending.cache(name));

  let documentsWere = identityOf(documents);

  /** Compares the folders that are there with those under watch. What came is watched and hinted; what went has told so itself. */
  function lookAtFolders(): void {
    const documentsAre = identityOf(documents);
    if (documentsWere !== undefined && documentsAre !== documentsWere) pending.documents();
    // Watched before its folders are looked at, so that none can come in between.
    if (documentsAre !== undefined && (documentsAre !== documentsWere || !watched.has(documents))) arm(documents, lookAtFolders);
    documentsWere = documentsAre;
    if (!watched.has(caches)) {
      watchCaches();
      if (watched.has(caches)) pending.cache(undefined);
    }
    for (const folder of foldersIn(documents, onError)) {
      if (watched.has(join(documents, folder))) continue;
      watchDocuments(folder);
      pending.document(folder, undefined);
    }
  }

  const database = basename(databasePath);
  const databaseDir = dirname(resolve(databasePath));
  const journal = `${resolve(databasePath)}-journal`;
  const recordsChanged = (name: string | undefined): void => {
    // Whoever reads while a transaction is being committed waits for its lock; the journal's end is a message of its own. (After a crash
    // it stays until somebody reads, and with journal_mode=persist, which AnythingLLM does not use, for ever: the loop asks by itself, too.)
    if (name === undefined || (name.startsWith(database) && !hasContent(journal))) pending.records();
  };
  // chokidar alone is not enough: it was seen to miss a documents/ that came while it began to watch.
  const storageChanged = (name: string | undefined): void => {
    if (name === undefined || name === basename(documents) || name === basename(caches)) lookAtFolders();
    if (databaseDir === storageDir) recordsChanged(name);
  };
  if (databaseDir !== storageDir) arm(databaseDir, recordsChanged);
  arm(storageDir, storageChanged);
  watchCaches();
  if (documentsWere !== undefined) arm(documents, lookAtFolders);
  for (const folder of foldersIn(documents, onError)) watchDocuments(folder);

  const tree = watchTree([storageDir, documents], {
    depth: 0,
    ignoreInitial: true,
    followSymlinks: false,
    usePolling: polling,
    interval: pollMs,
    ignored: (path) => path !== storageDir && path !== caches && path !== documents && dirname(path) !== documents,
  });
  tree.on('error', onError);
  // The kernel's messages come at once, chokidar's own conclusions when they are certain; both only say when to look.
  tree.on('raw', (_event, path, from) => {
    const { watchedPath } = from as { readonly watchedPath?: string };
    const name = path === null ? undefined : basename(path);
    if (watchedPath === documents || name === undefined || name === basename(documents) || name === basename(caches)) lookAtFolders();
  });
  tree.on('all', lookAtFolders);
  tree.on('ready', lookAtFolders);
  tree.on('unlinkDir', (path) => {
    // chokidar looks at one folder at most once a second, so that documents/ may have gone before it was seen.
    if (path === documents || path === storageDir) pending.documents();
  });

  try {
    for (;;) {
      await pending.wait(signal);
      if (signal.aborted) return;
      yield pending.take();
    }
  } finally {
    for (const watch of watched.values()) watch[Symbol.dispose]();
    await tree.close();
  }
}

function hasContent(file: string): boolean {
  try {
    return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
  } catch {
    return false;
  }
}

/** undefined where there is no such folder, or it cannot be looked at. */
function identityOf(path: string): string | undefined {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
  } catch {
    return undefined;
  }
}

/** The folders that documents.ts would list. */
function foldersIn(documents: string, onError: (error: unknown) => void): readonly string[] {
  try {
    const entries = readdirSync(documents, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map((entry) => entry.name);
  } catch (error) {
    if (!isAbsence(error)) onError(error);
    return [];
  }
}
