// The files of conflicts: one per loser, in the state directory, named so that a person finds the document.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DocbusError, sha256, type Key } from '@docbus/core';
import type { ConflictStore } from './context.ts';

/** NAME_MAX is 255 bytes; the rest of the name needs its room. */
const NAME_CHARACTERS_MAX = 60;

/** `save` writes by temporary name and rename; `disk_failed` where that fails. Nothing is ever overwritten with other content. */
export function openConflictFiles(stateDir: string): ConflictStore {
  const directory = join(stateDir, 'conflicts');
  return {
    save(key, version, content) {
      const file = join(directory, fileName(key, version, content));
      try {
        mkdirSync(directory, { recursive: true });
        writeFileSync(`${file}.tmp`, content);
        renameSync(`${file}.tmp`, file);
      } catch (error) {
        throw new DocbusError(
          'disk_failed',
          `The losing content of ${key} cannot be kept at ${file}; make room or mend the state directory. Nothing is overwritten until then.`,
          { cause: error },
        );
      }
      return file;
    },
    remove(file) {
      if (dirname(file) !== directory) return; // of a state directory that was somewhere else: not ours to remove
      try {
        rmSync(file, { force: true });
      } catch (error) {
        throw new DocbusError('disk_failed', `The kept file ${file} cannot be removed; mend the state directory.`, { cause: error });
      }
    },
  };
}

/** Short enough to be typed. `loser`: what lost, so that the same conflict met again has the same id. */
export function conflictId(key: Key, loser: string): string {
  return sha256(`${key} ${loser}`).slice(0, 16);
}

function fileName(key: Key, version: string, content: Uint8Array): string {
  const readable = key.replaceAll(/[^A-Za-z0-9._-]+/g, '_').slice(-NAME_CHARACTERS_MAX);
  return `${sha256(content).slice(0, 12)}-${version.replaceAll(/[^A-Za-z0-9._@-]+/g, '_')}-${readable.replace(/\.json$/, '')}.json`;
}
