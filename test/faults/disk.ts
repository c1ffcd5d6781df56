// Fills a disk with one file, and takes it away again.
import { closeSync, ftruncateSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const PIECE = 1 << 20;

export function fillDisk(directory: string) {
  const file = join(directory, 'filler');
  return {
    /** Leaves so many megabytes. */
    fill(leaveMb: number): void {
      const opened = openSync(file, 'a');
      try {
        const { bavail, bsize } = statfsSync(directory);
        let left = bavail * bsize - leaveMb * PIECE;
        // At last in small pieces: a page is what SQLite and a broker ask for.
        for (let size = PIECE; size >= 4096; size >>= 1)
          while (left >= size) {
            left -= size;
            if (!wrote(opened, size)) break;
          }
        if (leaveMb === 0) while (wrote(opened, 4096));
      } finally {
        closeSync(opened);
      }
    },
    empty(): void {
      const opened = openSync(file, 'a');
      ftruncateSync(opened, 0);
      closeSync(opened);
      rmSync(file);
    },
  };
}

function wrote(opened: number, size: number): boolean {
  try {
    return writeSync(opened, Buffer.alloc(size)) === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    return false;
  }
}
