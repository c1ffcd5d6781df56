// What the parts of apply share: one group's work in progress, and how one bad change refuses itself and not the batch.
import { DocbusError, formatVersion, isDocbusError, type DocPath, type Embedding, type Key } from '@docbus/core';
import { unpackPayload } from '@docbus/log';
import type { Context, Mark } from './context.ts';
import { pathIn, type Group, type Winner } from './groups.ts';

export type Embedded = { readonly hash: string; readonly embedding: Embedding; readonly adopted: boolean; cached: boolean };

/** One group's work in progress. Only `group`, `revived` and `marks` are its own, the rest is about the whole batch. */
export type Work = {
  readonly context: Context;
  readonly winners: ReadonlyMap<Key, Winner>;
  readonly overruled: ReadonlySet<Key>;
  readonly refused: Map<Key, DocbusError>;
  /** of groups that are not yet recorded */
  readonly embeddings: Map<DocPath, Embedded>;
  /** documents of the groups that are not yet recorded */
  readonly documents: Map<DocPath, Uint8Array>;
  /** documents/ may be empty for a good reason: the batch removes some, or brings them back */
  readonly emptied: boolean;
  readonly group: Group;
  /** embeddings whose deletion is answered by publishing them again */
  readonly revived: ReadonlySet<Key>;
  readonly marks: Mark[];
};

export function pathOf(key: Key): DocPath {
  const path = pathIn(key);
  if (path === undefined) throw new Error(`${key} has no path`);
  return path;
}

/** Runs the work of one key; an error that only this change deserves refuses it. */
export function attemptKey(work: Work, key: Key, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(isDocbusError(error) && error.remedy === 'quarantine')) throw error;
    work.refused.set(key, error);
  }
}

export function unpack({ context }: Work, { change, packed }: Winner): Uint8Array {
  if (packed === undefined)
    throw new DocbusError('payload_corrupt', `${change.key} (${formatVersion(change.version)}) came without its content.`);
  return unpackPayload(packed, { hash: change.hash, bytesMax: context.settings.payloadBytesMax });
}
