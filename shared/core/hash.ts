// Hashes of contents. Canonical JSON has sorted keys and no white space, so equal contents have equal hashes on every replica.
import { hash } from 'node:crypto';

export function sha256(bytes: Uint8Array | string): string {
  return hash('sha256', bytes, 'hex');
}

/** JSON with sorted keys at every level. `value` must be plain JSON data. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

export function contentHash(content: unknown): string {
  return sha256(canonicalJson(content));
}
