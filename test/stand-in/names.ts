// The names that AnythingLLM v1.16 makes: of documents, caches, workspaces and collections, with their known flaws.
import { createHash } from 'node:crypto';
import slugifyModule from 'slugify';
import type { Clock } from '@docbus/runtime/clock.ts';

const slugify = slugifyModule.default;

/** The collector's slug; keeps dots and case unless told otherwise. */
export function slug(text: string, lower = false): string {
  return slugify(text, { lower });
}

/** The last extension goes, other dots become hyphens. */
export function slugWithoutExtension(title: string): string {
  const stem = title.includes('.') ? title.split('.').slice(0, -1).join('-') : title;
  return slugify(stem, { lower: true });
}

/** What the server's slugs say for characters that some vector stores do not take. */
const SPOKEN: Readonly<Record<string, string>> = { '+': ' plus ', '!': ' bang ', '@': ' at ', '*': ' splat ', '.': ' dot ' };
const DROPPED = ':~()\'"|';

/** The slug of a workspace's name; empty for names without any character that slugify knows (Japanese, for instance). */
export function workspaceSlug(name: string): string {
  const spoken = Array.from(name.normalize(), (character) => (DROPPED.includes(character) ? '' : (SPOKEN[character] ?? character))).join(
    '',
  );
  return slugify(spoken, { lower: true });
}

/** Takes out what Windows refuses in file names, and typographic quotes. */
export function sanitizeFileName(name: string): string {
  return name.replace(/[<>:"/\\|?*\u2018-\u201F]/g, '');
}

const URL_NAMESPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex');

/** `<uuid v5 of the docpath exactly as given>.json` */
export function cacheName(docpath: string): string {
  const bytes = createHash('sha1').update(URL_NAMESPACE).update(docpath).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}.json`;
}

/**
 * The collection of a namespace. Its result is not always a name that Chroma takes, and doing it twice is not always doing it once:
 * only one bad character is cut off at the end. The original does it once when adding, querying and removing documents, twice when
 * asking whether a workspace has anything and when dropping the collection; so does the stand-in.
 */
export function collectionName(namespace: string): string {
  if (/^[a-zA-Z0-9][a-zA-Z0-9_-]{1,61}[a-zA-Z0-9]$/.test(namespace)) return namespace;
  let name = namespace.replace(/[^a-zA-Z0-9_-]/g, '-');
  if (/^[^a-zA-Z0-9]/.test(name)) name = `anythingllm-${name.slice(1)}`;
  if (/[^a-zA-Z0-9]$/.test(name)) name = name.slice(0, -1);
  if (name.length < 3) return `anythingllm-${name}`;
  return name.length > 63 ? collectionName(name.slice(0, 63)) : name;
}

const LOCAL_TIME = new Intl.DateTimeFormat('en-US', {
  timeZone: 'UTC',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
  minute: '2-digit',
  second: '2-digit',
});

/** `published` as a container in UTC and English writes it: 8/16/2026, 3:04:05 PM. */
export function localTime(ms: number): string {
  return LOCAL_TIME.format(ms);
}

/** A whole number in [from, to] by the clock's chance. */
export function randomInteger(clock: Pick<Clock, 'random'>, from: number, to: number): number {
  const share = Buffer.from(clock.random(4)).readUInt32LE() / 2 ** 32;
  return from + Math.floor(share * (to - from + 1));
}
