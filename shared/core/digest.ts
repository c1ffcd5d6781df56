// The digest of a manifest: the sum modulo 2^256 of one hash per entry. Adding or replacing an entry costs one hash,
// whatever the size of the manifest, and the order of changes does not matter. Equal digests mean equal manifests.
import type { Stamp } from './version.ts';
import { sha256 } from './hash.ts';
import type { Key } from './key.ts';

const MODULUS = 1n << 256n;

/** 64 hex digits. */
export type Digest = string & { readonly brand: 'Digest' };

export const emptyDigest = '0'.repeat(64) as Digest;

/** The digest after `key` went from `before` to `after`; undefined stands for no entry. O(1). */
export function updateDigest(digest: Digest, key: Key, before: Stamp | undefined, after: Stamp | undefined): Digest {
  let sum = BigInt(`0x${digest}`);
  if (before !== undefined) sum -= term(key, before);
  if (after !== undefined) sum += term(key, after);
  return (((sum % MODULUS) + MODULUS) % MODULUS).toString(16).padStart(64, '0') as Digest;
}

/** The digest of a whole manifest, from nothing. */
export function digestOf(entries: Iterable<Stamp & { readonly key: Key }>): Digest {
  let digest = emptyDigest;
  for (const entry of entries) digest = updateDigest(digest, entry.key, undefined, entry);
  return digest;
}

function term(key: Key, stamp: Stamp): bigint {
  const { version, state, hash } = stamp;
  const text = JSON.stringify([key, version.revision, version.replica, state, hash]);
  return BigInt(`0x${sha256(text)}`);
}
