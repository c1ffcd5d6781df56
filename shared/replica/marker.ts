// The marker `.docbus` in the storage directory says whose storage this is: replica id and a random storage id. A manifest that
// knows a storage id and finds another (or none) stands before another volume.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DocbusError } from '@docbus/core';
import { z } from 'zod';
import { codeOf, diskError } from './files.ts';

const NAME = '.docbus';
const markerSchema = z.object({ replica: z.string(), storage: z.string() });
export type Marker = z.infer<typeof markerSchema>;

/** Undefined where there is none or it does not parse (it is written by rename, so it is not ours then). Throws `storage_missing` without the directory. */
export function readMarker(storageDir: string): Marker | undefined {
  try {
    const parsed = markerSchema.safeParse(JSON.parse(readFileSync(join(storageDir, NAME), 'utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw diskError(error, join(storageDir, NAME), 'read');
  }
}

/** Written by temporary name and rename, once per storage. */
export function writeMarker(storageDir: string, marker: Marker): void {
  const file = join(storageDir, NAME);
  try {
    writeFileSync(`${file}.tmp`, `${JSON.stringify(marker)}\n`);
    renameSync(`${file}.tmp`, file);
  } catch (error) {
    throw diskError(error, file, 'write');
  }
}

/**
 * What to do about the marker found, given the storage id that the manifest knows (undefined: none yet).
 * 'fresh': a storage without a marker, for a manifest without a storage. Otherwise the marker is ours; its storage id is to be known.
 * Throws `storage_replaced` for another volume and `storage_foreign` for the storage of another replica.
 */
export function checkMarker(
  found: Marker | undefined,
  known: string | undefined,
  { storageDir, replicaId }: { readonly storageDir: string; readonly replicaId: string },
): Marker | 'fresh' {
  if (found !== undefined && found.replica !== replicaId)
    throw new DocbusError(
      'storage_foreign',
      `The storage ${storageDir} belongs to the replica ${found.replica}, this agent is ${replicaId}. Mount the right volume, or set DOCBUS_REPLICA=${found.replica}. A copied storage: delete ${join(storageDir, NAME)} in the copy.`,
    );
  if (known === undefined) return found ?? 'fresh';
  if (found?.storage === known) return found;
  throw new DocbusError(
    'storage_replaced',
    `The storage ${storageDir} is not the one this agent knows${found === undefined ? ' (its marker .docbus is missing)' : ''}. Nothing is published or changed until then: mount the right volume. If this is a new, empty volume on purpose, delete the agent's state directory and start it again: the replica is rebuilt from the log.`,
  );
}
