// Reading and replacing single files beside a program (AnythingLLM) that truncates and rewrites them in place.
// What is read was settled: the same size, time and inode before and after. What is written appears whole or not at all.
import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fchmodSync,
  fchownSync,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DocbusError } from '@docbus/core';
import type { Clock } from '@docbus/runtime/clock.ts';
import type { DiskSync } from './disk-sync.ts';
import type { Signature } from './port.ts';

/** Kernel timestamps advance in steps (a jiffy, up to 10 ms; some network file systems 2 s are not covered): a write this close to a read may leave the same time. */
const RACY_MS = 100n;

/** Our temporary names: dot names, so that AnythingLLM's picker, our own listing and the hints leave them out. */
const TEMPORARY_PREFIX = '.docbus-';
const TEMPORARY_SUFFIX = '.tmp';

export function isTemporaryName(name: string): boolean {
  return name.startsWith(TEMPORARY_PREFIX) && name.endsWith(TEMPORARY_SUFFIX);
}

export type FileReading =
  | { readonly type: 'absent' }
  | { readonly type: 'unsettled'; readonly reason: string; readonly signature: undefined }
  | { readonly type: 'read'; readonly bytes: Buffer; readonly signature: Signature; readonly racy: boolean };

/** The signature of whatever is at `path` (a symbolic link's own); undefined only where nothing is there. */
export function signatureAt(path: string): Signature | undefined {
  const stat = statAt(path);
  return stat === undefined ? undefined : signatureOf(stat);
}

/** lstat, undefined where nothing is there. Throws `disk_failed` for anything else: an unreadable disk is not an absent file. */
export function statAt(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw diskError(error, path, 'look at');
  }
}

/** The whole of a regular file. Throws `path_refused` for anything that is not one, `document_too_large` over `bytesMax`, `disk_failed`. */
export function readSettled(path: string, bytesMax: number, clock: Pick<Clock, 'now'>): FileReading {
  const now = BigInt(Math.trunc(clock.now()));
  let file: number;
  try {
    // O_NONBLOCK: opening a named pipe must not wait for a writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isAbsence(error)) return { type: 'absent' };
    if (codeOf(error) === 'ELOOP') throw refused(path, 'is a symbolic link');
    throw diskError(error, path, 'read');
  }
  try {
    const before = fstatSync(file, { bigint: true });
    if (!before.isFile()) throw refused(path, 'is not a regular file');
    if (before.size > BigInt(bytesMax))
      throw new DocbusError(
        'document_too_large',
        `The file ${path} has ${before.size} bytes, more than the ${bytesMax} that are replicated; it stays on this replica only. Split the document, or raise the limit on all agents.`,
      );
    const bytes = readWhole(file, Number(before.size));
    const after = statAt(path);
    if (after === undefined || bytes === undefined || signatureOf(after) !== signatureOf(before))
      return { type: 'unsettled', reason: 'it was written while it was read', signature: undefined };
    return { type: 'read', bytes, signature: signatureOf(before), racy: now - before.mtimeMs < RACY_MS };
  } catch (error) {
    if (error instanceof DocbusError) throw error;
    throw diskError(error, path, 'read');
  } finally {
    closeSync(file);
  }
}

/** undefined where the file ended early: it is being rewritten. */
function readWhole(file: number, size: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafeSlow(size);
  let length = 0;
  while (length < size) {
    const count = readSync(file, bytes, length, size - length, length);
    if (count === 0) return undefined;
    length += count;
  }
  return bytes;
}

export type ReplaceOptions = {
  /**
   * true: forces the bytes to the disk before the name shows them, so that after a power cut the name has the old content or the new, never none.
   * A DiskSync does so soon after: until it says so, a power cut may leave the name without its content, and the work must be repeated.
   */
  readonly durable: boolean | DiskSync;
  readonly clock: Pick<Clock, 'random'>;
};

/** Replaces or creates the file at `path` through a temporary name in its folder. `fill` writes the content. The folder must exist. */
export function replaceFile(path: string, options: ReplaceOptions, fill: (file: number) => void): void {
  const folder = dirname(path);
  const suffix = Buffer.from(options.clock.random(6)).toString('hex');
  const temporary = join(folder, `${TEMPORARY_PREFIX}${suffix}${TEMPORARY_SUFFIX}`);
  const there = statAt(path);
  if (there !== undefined && !there.isFile()) throw refused(path, there.isSymbolicLink() ? 'is a symbolic link' : 'is not a regular file');
  try {
    const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o644);
    try {
      fill(file);
      fchmodSync(file, 0o644);
      giveToOwnerOf(folder, (uid, gid) => fchownSync(file, uid, gid));
      if (options.durable === true) fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
    if (typeof options.durable === 'object') options.durable.written(path);
  } catch (error) {
    removeQuietly(temporary);
    if (error instanceof DocbusError) throw error;
    throw diskError(error, path, 'write');
  }
  if (options.durable === true) syncFolder(folder);
}

/** Without this a power cut may take back the rename, and the file would look deleted. */
export function syncFolder(folder: string): void {
  try {
    const file = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (isUnsupportedSync(error)) return;
    throw diskError(error, folder, 'sync');
  }
}

/** Some network and desktop file systems cannot sync a folder; they promise nothing after a power cut anyway. */
export function isUnsupportedSync(error: unknown): boolean {
  return ['EINVAL', 'EPERM', 'ENOTSUP', 'EBADF'].includes(codeOf(error) ?? '');
}

/** Makes one folder inside an existing one. Refuses a symbolic link or a file in its place. */
export function ensureFolder(folder: string, durable: boolean): void {
  const there = statAt(folder);
  if (there === undefined) {
    try {
      mkdirSync(folder, { mode: 0o755 });
      giveToOwnerOf(dirname(folder), (uid, gid) => lchownSync(folder, uid, gid));
      if (durable) syncFolder(dirname(folder));
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw diskError(error, folder, 'create');
    }
  } else if (!there.isDirectory()) throw refused(folder, there.isSymbolicLink() ? 'is a symbolic link' : 'is not a folder');
}

/** Removes a file; true where there was one. Refuses a symbolic link or a folder: they are not ours. */
export function removeFile(path: string): boolean {
  const there = statAt(path);
  if (there === undefined) return false;
  if (!there.isFile()) throw refused(path, there.isSymbolicLink() ? 'is a symbolic link' : 'is not a regular file');
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isAbsence(error)) return false;
    throw diskError(error, path, 'remove');
  }
}

/** Removes the temporary files that a kill left in a folder and, where asked, in the folders in it. A folder that cannot be listed is left to whoever needs it. */
export function removeLeftovers(folder: string, { below }: { readonly below: boolean }): void {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    // Housekeeping only; listing and writing report what is wrong.
    return;
  }
  for (const entry of entries) {
    if (entry.isFile() && isTemporaryName(entry.name)) removeQuietly(join(folder, entry.name));
    else if (below && entry.isDirectory()) removeLeftovers(join(folder, entry.name), { below: false });
  }
}

/** What is absent counts as absent only while the storage is there. Throws `storage_missing`, `disk_failed`. */
export function requireStorage(storageDir: string): void {
  if (folderExists(storageDir)) return;
  throw new DocbusError(
    'storage_missing',
    `The storage directory ${storageDir} does not exist. Mount AnythingLLM's storage there, or correct DOCBUS_STORAGE_DIR.`,
  );
}

/** Through symbolic links: where the storage and its two directories lie is the operator's business. */
export function folderExists(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    if (isAbsence(error)) return false;
    throw diskError(error, path, 'look at');
  }
}

export function isAbsence(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function refused(path: string, reason: string): DocbusError {
  return new DocbusError(
    'path_refused',
    `${path} ${reason}; docbus neither reads nor writes through it. Put a regular file or folder in its place.`,
  );
}

export function diskError(error: unknown, path: string, verb: string): DocbusError {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new DocbusError('disk_full', `No space left to ${verb} ${path}. Free some space on that volume; docbus tries again.`, {
      cause: error,
    });
  const advice =
    code === 'EACCES' || code === 'EPERM'
      ? 'Run the agent as the same user as AnythingLLM (1000 in its image).'
      : code === 'EROFS'
        ? 'Mount the storage writable for the agent.'
        : 'Check that volume; docbus tries again.';
  return new DocbusError('disk_failed', `Could not ${verb} ${path} (${code ?? String(error)}). ${advice}`, { cause: error });
}

function signatureOf(stat: BigIntStats): Signature {
  return `${stat.size}-${stat.mtimeNs}-${stat.ino}` as Signature;
}

/** AnythingLLM must be able to overwrite and remove what we write: an agent that runs as root gives it to the folder's owner. */
function giveToOwnerOf(folder: string, give: (uid: number, gid: number) => void): void {
  if (process.geteuid?.() !== 0) return;
  const owner = lstatSync(folder);
  if (owner.uid !== 0 || owner.gid !== 0) give(owner.uid, owner.gid);
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Only a temporary name; the next opening removes what is left.
  }
}
