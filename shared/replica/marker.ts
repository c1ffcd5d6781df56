// `.docbus` in the storage directory: which replica this storage is, and a random id of the storage itself. A manifest with
// entries beside a storage without its marker is another volume, and everything on it would look deleted.
import { readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DocbusError } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import { z } from 'zod';
import { diskError, isAbsence, replaceFile } from './files.ts';

const markerShape = z.object({ replica: z.string().min(1), storage: z.string().min(1) });

/** `storage` is the random id. */
export type Marker = Readonly<z.infer<typeof markerShape>>;

const pathOf = (storageDir: string): string => join(storageDir, '.docbus');

/** undefined where there is none. Throws `storage_replaced` where it cannot be understood, `disk_failed` where it cannot be read. */
export function readMarker(storageDir: string): Marker | undefined {
  const path = pathOf(storageDir);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw diskError(error, path, 'read');
  }
  try {
    return markerShape.parse(JSON.parse(text));
  } catch (error) {
    throw new DocbusError(
      'storage_replaced',
      `${path} is not a marker that docbus wrote, so it is not certain whose storage this is. Restore it from a backup; or remove it together with the agent's state directory, and the agent reads the log from its beginning.`,
      { cause: error },
    );
  }
}

export function writeMarker(storageDir: string, marker: Marker): void {
  const bytes = Buffer.from(`${JSON.stringify(marker, undefined, 2)}\n`);
  replaceFile(pathOf(storageDir), { durable: true, clock: systemClock }, (file) => void writeSync(file, bytes));
}

/**
 * Whether this storage is the one that the manifest (`known`: its storage id, undefined for a new manifest) is about.
 * 'fresh': neither has been used, a marker is to be written. Throws `storage_replaced` or `storage_foreign` with what to do.
 */
export function checkMarker(
  marker: Marker | undefined,
  known: string | undefined,
  { storageDir, replicaId }: { readonly storageDir: string; readonly replicaId: string },
): Marker | 'fresh' {
  const remedy =
    'Mount the right volume and the agent goes on; if the storage was replaced on purpose, stop the agent, remove its state directory, and start it: it fills the storage from the log.';
  if (marker === undefined) {
    if (known === undefined) return 'fresh';
    throw new DocbusError(
      'storage_replaced',
      `${storageDir} has no .docbus, but this agent has worked on the storage ${known}: another or an empty volume is there. ${remedy}`,
    );
  }
  if (marker.replica !== replicaId)
    throw new DocbusError(
      'storage_foreign',
      `${storageDir} belongs to the replica ${marker.replica}, but this agent is ${replicaId}. Mount this replica's own storage, or set DOCBUS_REPLICA=${marker.replica}. For a copy that shall become a replica of its own, remove .docbus from it.`,
    );
  if (known !== undefined && marker.storage !== known)
    throw new DocbusError(
      'storage_replaced',
      `${storageDir} is the storage ${marker.storage}, but this agent has worked on ${known}. ${remedy}`,
    );
  return marker;
}
