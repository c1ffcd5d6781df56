// examine looks at one key exactly: what is on disk now, against the entry and the intent. An edit found here is true at this
// moment; callers act on it without awaiting anything in between, or look again.
import {
  contentHash,
  documentKey,
  embeddingKey,
  isDocbusError,
  reconcile,
  type DocPath,
  type Edit,
  type Embedding,
  type Key,
  type Known,
  type Picture,
} from '@docbus/core';
import type { Reading, Signature } from '@docbus/replica/port.ts';
import type { Manifest, Place } from '@docbus/replica/manifest.ts';
import type { Context, Mark } from './context.ts';

/** `unsettled`: being written, or broken: neither an edit nor an absence. `value` is read where the edit is a put (and whenever the file had to be read). */
export type FileLook<T> = {
  readonly picture: Picture | 'unsettled';
  readonly edit: Edit;
  readonly value: T | undefined;
  readonly signature: Signature | undefined;
  readonly marks: readonly Mark[];
};

export function knownOf(manifest: Manifest, key: Key): Known {
  return {
    entry: manifest.entry(key),
    intents: manifest.intentsOf(key).map(({ state, hash }) => (state === 'present' ? { state, hash } : { state: 'absent' })),
  };
}

export function examineDocument(context: Context, path: DocPath): FileLook<Uint8Array> {
  const { documents } = context.replica;
  return examineFile(context, 'document', documentKey(path), path, documents.signature(path), () => documents.read(path));
}

export function examineCache(context: Context, path: DocPath): FileLook<Embedding> {
  const { caches } = context.replica;
  return examineFile(context, 'cache', embeddingKey(path), path, caches.signature(path), () => caches.read(path));
}

/** No file has it. */
const NO_SIGNATURE = '' as Signature;

function examineFile<T>(
  context: Context,
  place: Place,
  key: Key,
  path: DocPath,
  signature: Signature | undefined,
  read: () => Reading<T>,
): FileLook<T> {
  const { manifest, state } = context;
  const known = knownOf(manifest, key);
  if (signature === undefined) {
    settle(context, place, path);
    return { picture: { state: 'absent' }, edit: reconcile({ state: 'absent' }, known), value: undefined, signature, marks: [] };
  }
  if (state.unsettled[place].get(path) === signature) return unsettledLook;
  const mark = manifest.file(place, path);
  if (mark?.signature === signature) {
    const picture: Picture = { state: 'present', hash: mark.hash };
    const edit = reconcile(picture, known);
    if (edit === 'none') {
      settle(context, place, path);
      return { picture, edit, value: undefined, signature, marks: [] };
    }
  }
  const reading = readOrProblem(path, signature, read);
  if (reading.type === 'unsettled' && reading.signature !== undefined) {
    state.unsettled[place].set(path, reading.signature);
    state.problems[place].set(problemName(place, path), `is not replicated: ${reading.reason}`);
  } else settle(context, place, path);
  if (reading.type === 'unsettled') return unsettledLook;
  if (reading.type === 'absent') return { ...unsettledLook, picture: { state: 'absent' } };
  const picture: Picture = { state: 'present', hash: reading.hash };
  // Of a racy reading only that there is a file is remembered: the next survey reads it again, also after a restart.
  if (reading.racy) state.dirty.paths.add(path);
  const marks = [{ place, path, mark: { signature: reading.racy ? NO_SIGNATURE : reading.signature, hash: reading.hash } }];
  return { picture, edit: reconcile(picture, known), value: reading.value, signature: reading.signature, marks };
}

const unsettledLook = { picture: 'unsettled', edit: 'none', value: undefined, signature: undefined, marks: [] } as const;

/** Forgets what was wrong with the file, so that nobody is shown it any longer. */
function settle({ state }: Context, place: Place, path: DocPath): void {
  if (state.unsettled[place].delete(path)) state.problems[place].delete(problemName(place, path));
}

function problemName(place: Place, path: DocPath): string {
  return place === 'document' ? path : `the vector cache of ${path}`;
}

/** A file that can never be replicated (too large, a symbolic link) is a problem to show, not an error of the step. */
function readOrProblem<T>(path: DocPath, signature: Signature, read: () => Reading<T>): Reading<T> {
  try {
    return read();
  } catch (error) {
    if (!isDocbusError(error, 'document_too_large', 'path_refused')) throw error;
    return { type: 'unsettled', reason: error.message, signature };
  }
}

/** The edit of a workspace or membership, from its content on disk (undefined: no row). */
export function examineContent(manifest: Manifest, key: Key, content: object | undefined): { readonly edit: Edit; readonly hash: string } {
  const hash = content === undefined ? '' : contentHash(content);
  return { edit: reconcile(content === undefined ? { state: 'absent' } : { state: 'present', hash }, knownOf(manifest, key)), hash };
}
