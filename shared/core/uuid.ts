// UUIDs of version 5: the same name in the same namespace has the same id everywhere. Libraries take several times as long,
// and a survey or a rebuild makes hundreds of thousands.
import { hash } from 'node:crypto';

/** RFC 9562's namespace for URLs, which AnythingLLM uses for the names of its caches. */
export const URL_NAMESPACE = '6ba7b811-9dad-11d1-80b4-00c04fd430c8';

const NAMESPACE_BYTES = 16;

/** Returns a function from names to ids. */
export function createUuidV5(namespace: string): (name: string) => string {
  let buffer = Buffer.alloc(1024);
  const prefix = Buffer.from(namespace.replaceAll('-', ''), 'hex');
  prefix.copy(buffer);
  return (name) => {
    if (NAMESPACE_BYTES + name.length * 3 > buffer.length) {
      buffer = Buffer.alloc(NAMESPACE_BYTES + name.length * 3);
      prefix.copy(buffer);
    }
    const end = NAMESPACE_BYTES + buffer.write(name, NAMESPACE_BYTES);
    const hex = hash('sha1', buffer.subarray(0, end), 'hex');
    const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  };
}
