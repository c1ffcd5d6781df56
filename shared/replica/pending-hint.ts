// Hints that came while nobody listened, as one: a set of places, never a list of events.
import { parseDocPath, isDocbusError, type DocPath } from '@docbus/core';

/** Which places may have changed. Too much costs a look, too little waits for the sweep. */
export type StorageHint = {
  /** anything under documents/ */
  readonly all: boolean;
  /** folders of documents/ in which anything may have changed */
  readonly folders: ReadonlySet<string>;
  readonly paths: ReadonlySet<DocPath>;
  /** names of files in vector-cache/ */
  readonly caches: ReadonlySet<string>;
  readonly allCaches: boolean;
  /** the database */
  readonly records: boolean;
};

/** More names than this in one hint become "the whole folder". */
const NAMES_MAX = 1_000;

export type PendingHint = {
  document(folder: string, name: string | undefined): void;
  documents(): void;
  cache(name: string | undefined): void;
  records(): void;
  /** Resolves when there is something to take, or the signal aborts. */
  wait(signal: AbortSignal): Promise<void>;
  take(): StorageHint;
};

export function createPendingHint(): PendingHint {
  let hint = empty();
  let dirty = false;
  let wake: (() => void) | undefined;
  const ring = (): void => {
    dirty = true;
    wake?.();
  };

  return {
    document(folder, name) {
      const path = name === undefined || hint.paths.size >= NAMES_MAX ? undefined : docPathOf(`${folder}/${name}`);
      if (path === undefined) hint.folders.add(folder);
      else hint.paths.add(path);
      ring();
    },
    documents() {
      hint.all = true;
      ring();
    },
    cache(name) {
      if (name === undefined || hint.caches.size >= NAMES_MAX) hint.allCaches = true;
      else hint.caches.add(name);
      ring();
    },
    records() {
      hint.records = true;
      ring();
    },
    async wait(signal) {
      if (dirty || signal.aborted) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const done = (): void => resolve();
      wake = done;
      signal.addEventListener('abort', done, { once: true });
      await promise;
      signal.removeEventListener('abort', done);
      wake = undefined;
    },
    take() {
      const taken = hint;
      hint = empty();
      dirty = false;
      return taken;
    },
  };
}

/** undefined for a name that cannot be replicated: the folder's listing will say so. */
function docPathOf(text: string): DocPath | undefined {
  try {
    return parseDocPath(text);
  } catch (error) {
    if (isDocbusError(error, 'path_refused')) return undefined;
    throw error;
  }
}

type Collected = {
  all: boolean;
  folders: Set<string>;
  paths: Set<DocPath>;
  caches: Set<string>;
  allCaches: boolean;
  records: boolean;
};

function empty(): Collected {
  return { all: false, folders: new Set(), paths: new Set(), caches: new Set(), allCaches: false, records: false };
}
