// What a process may take of the memory.
import { setFlagsFromString } from 'node:v8';

/**
 * For a process that rests nearly always and is looked at by its memory: the space for young objects stays as it begins (2 MB), where
 * V8 lets it grow to tens of megabytes in a moment of work and gives little of it back. To be asked before that work.
 */
export function keepMemorySmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1');
}
