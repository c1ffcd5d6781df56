// What AnythingLLM did to one replica, key by key: read off its files and its database around each effect of its operations.
// What the agent does beside it is no edit; the two are told apart by looking immediately before and after an effect.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { documentKey, type Base, type DocPath, type Key } from '@docbus/core';
import { BROKEN, documentHash, hashOf, rowsOn } from '../simulation/pictures.ts';
import type { Effect } from '../stand-in/index.ts';
import { documentsDir } from '../stand-in/storage.ts';

/** Something that AnythingLLM did to one key on one replica. Hashes as in changes, '' for absent. */
export type Edit = {
  readonly seq: number;
  readonly replica: string;
  readonly key: Key;
  readonly before: string;
  readonly after: string;
  readonly operation: string;
  /** milliseconds since the epoch */
  readonly at: number;
  /** the agent had recorded what was there before; otherwise it was in the middle of applying it, and may do so again */
  readonly recorded: boolean;
  /** the highest revision of each replica that the agent knew of this key */
  readonly known: Base;
  /** its operation ended with an error: nobody was told that it was done */
  failed: boolean;
};

export type Journal = { readonly edits: Edit[] };

/** A look at one replica; hashes by key. */
type Look = { readonly documents: ReadonlyMap<DocPath, string>; readonly rows: ReadonlyMap<Key, string> };

export type Observer = {
  look(): Look;
  /** Writes down what an effect changed since `before`. */
  note(before: Look, effect: Effect, operation: string): void;
  /** The edits since then belong to an operation that failed. */
  fail(since: number): void;
};

export type ObserverOptions = {
  readonly replica: string;
  readonly storageDir: string;
  readonly stateDir: string;
  /** of AnythingLLM's database */
  readonly reader: DatabaseSync;
};

export function observe(journal: Journal, { replica, storageDir, stateDir, reader }: ObserverOptions): Observer {
  const documents = createDocumentsLook(storageDir);
  const rows = createRowsLook(reader);
  /** text that is being written over is no edit yet; what was there before it counts as replaced once the new text is whole */
  const replacing = new Map<DocPath, string>();

  const put = (key: Key, before: string, after: string, operation: string): void => {
    if (before === after) return;
    const { hash, known } = recordedOf(stateDir, key);
    const recorded = before === hash;
    journal.edits.push({
      seq: journal.edits.length,
      replica,
      key,
      before,
      after,
      operation,
      at: Date.now(),
      recorded,
      known,
      failed: false,
    });
  };
  const noteDocument = (before: Look, path: DocPath, operation: string): void => {
    const after = documentHash(join(documentsDir(storageDir), path)) ?? '';
    if (after === BROKEN) return;
    put(documentKey(path), replacing.get(path) ?? before.documents.get(path) ?? '', after, operation);
    replacing.delete(path);
  };
  const noteRows = (before: Look, operation: string): void => {
    const after = rows();
    for (const [key, text] of after) if (before.rows.get(key) !== text) put(key, hashed(before.rows.get(key)), hashed(text), operation);
    for (const [key, text] of before.rows) if (!after.has(key)) put(key, hashed(text), '', operation);
  };

  return {
    look: () => ({ documents: documents(), rows: rows() }),
    fail(since) {
      for (const edit of journal.edits) if (edit.seq >= since && edit.replica === replica) edit.failed = true;
    },
    note(before, { done, to }, operation) {
      const path = to as DocPath;
      switch (done) {
        case 'document truncated':
          replacing.set(path, before.documents.get(path) ?? '');
          break;
        case 'document written':
        case 'document removed':
          noteDocument(before, path, operation);
          break;
        case 'document moved':
        case 'folder removed':
          for (const known of new Set([...before.documents.keys(), ...(done === 'document moved' ? [path] : [])]))
            if (known === path || known.startsWith(`${to}/`) || done === 'document moved') noteDocument(before, known, operation);
          break;
        case 'document row added':
        case 'document row changed':
        case 'document row removed':
        case 'document rows removed':
        case 'workspace row added':
        case 'workspace row changed':
        case 'workspace row removed':
          noteRows(before, operation);
          break;
        default:
          break;
      }
    },
  };
}

/** What the agent's manifest says of a key; the hash is '' where it is absent. */
function recordedOf(stateDir: string, key: Key): { readonly hash: string; readonly known: Base } {
  using manifest = new DatabaseSync(join(stateDir, 'manifest.db'), { readOnly: true, timeout: 5_000 });
  const entry = manifest.prepare('select state, hash, base, replica, revision from entries where key = ?').get(key);
  if (entry === undefined) return { hash: '', known: {} };
  const known = { ...(JSON.parse(String(entry['base'])) as Base), [String(entry['replica'])]: Number(entry['revision']) };
  return { hash: entry['state'] === 'present' ? String(entry['hash']) : '', known };
}

const hashed = (text: string | undefined): string => (text === undefined ? '' : hashOf(text));

/** Reads a file again where its stat changed. */
function createDocumentsLook(storageDir: string): () => ReadonlyMap<DocPath, string> {
  const known = new Map<DocPath, { readonly stat: string; readonly hash: string }>();
  return () => {
    const root = documentsDir(storageDir);
    const found = new Map<DocPath, string>();
    for (const folder of listed(root))
      for (const name of listed(join(root, folder))) {
        if (!name.endsWith('.json') || name.startsWith('.')) continue;
        const path = `${folder}/${name}` as DocPath;
        const stats = lstatSync(join(root, path), { bigint: true, throwIfNoEntry: false });
        if (stats === undefined) continue; // the agent removed it between the listing and now
        const stat = `${stats.ino} ${stats.size} ${stats.mtimeNs} ${stats.ctimeNs}`;
        const hash = known.get(path)?.stat === stat ? known.get(path)?.hash : documentHash(join(root, path));
        if (hash === undefined) continue;
        known.set(path, { stat, hash });
        if (hash !== BROKEN) found.set(path, hash);
      }
    return found;
  };
}

/** Folders come and go while we look. */
function listed(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** Reads the rows again where the database changed. */
function createRowsLook(reader: DatabaseSync): () => ReadonlyMap<Key, string> {
  let known: { readonly version: unknown; readonly rows: ReadonlyMap<Key, string> } | undefined;
  return () => {
    const version = reader.prepare('pragma data_version').get()?.['data_version'];
    if (known?.version !== version) known = { version, rows: rowsOn(reader) };
    return (known as { rows: ReadonlyMap<Key, string> }).rows;
  };
}
