// Names of what is replicated. A key is parsed once, where it enters (a record, a directory listing, a row);
// a DocPath that exists can be joined to `documents/` without leaving it.
import { DocbusError } from './errors.ts';

/** `folder/file.json`, forward slash, exactly one folder level, as AnythingLLM writes docpath (any Unicode form, byte for byte). */
export type DocPath = string & { readonly brand: 'DocPath' };
/** A workspace's slug: immutable in AnythingLLM, and the source of its Chroma collection's name. */
export type Slug = string & { readonly brand: 'Slug' };
/** `document/<docpath>`, `embedding/<docpath>`, `workspace/<slug>` or `membership/<slug>/<docpath>`. */
export type Key = string & { readonly brand: 'Key' };

export const kinds = ['document', 'embedding', 'workspace', 'membership'] as const;
export type Kind = (typeof kinds)[number];

export type ParsedKey =
  | { readonly kind: 'document'; readonly path: DocPath }
  | { readonly kind: 'embedding'; readonly path: DocPath }
  | { readonly kind: 'workspace'; readonly slug: Slug }
  | { readonly kind: 'membership'; readonly slug: Slug; readonly path: DocPath };

export const documentKey = (path: DocPath): Key => `document/${path}` as Key;
export const embeddingKey = (path: DocPath): Key => `embedding/${path}` as Key;
export const workspaceKey = (slug: Slug): Key => `workspace/${slug}` as Key;
export const membershipKey = (slug: Slug, path: DocPath): Key => `membership/${slug}/${path}` as Key;

/** Linux refuses a name longer than this (NAME_MAX). */
const NAME_BYTES_MAX = 255;
const SLUG_BYTES_MAX = 255;

const encoder = new TextEncoder();

/**
 * A docpath that stays inside `documents/` on every file system AnythingLLM runs on.
 * Throws `path_refused` for anything else: `..`, absolute, NUL or control characters, backslash, another depth,
 * names over 255 bytes, names that are no Unicode, names that do not end in `.json`, dot names (our temporary files are dot names).
 */
export function parseDocPath(text: string): DocPath {
  const problem = docPathProblem(text);
  if (problem !== undefined)
    throw new DocbusError('path_refused', `The document path ${quote(text)} ${problem}; it is not replicated. Rename the file.`);
  return text as DocPath;
}

/** Nearly all: printable ASCII in parts of a length that is surely allowed. */
const PLAIN = /^(?!\.)[ -.0-[\]-~]{1,255}\/(?!\.)[ -.0-[\]-~]{1,250}\.json$/;

function docPathProblem(text: string): string | undefined {
  if (PLAIN.test(text)) return undefined;
  if (!text.isWellFormed() || text.includes('\uFFFD')) return 'is not valid Unicode';
  const segments = text.split('/');
  if (segments.length !== 2) return 'is not of the form folder/file.json';
  for (const segment of segments) {
    if (segment === '') return 'has an empty part';
    if (segment.startsWith('.')) return 'has a part that begins with a dot';
    // oxlint-disable-next-line no-control-regex -- control characters are exactly what is refused here
    if (/[\u0000-\u001F\u007F\\]/.test(segment)) return 'has a control character or a backslash';
    if (encoder.encode(segment).length > NAME_BYTES_MAX) return `has a part longer than ${NAME_BYTES_MAX} bytes`;
  }
  if (!segments[1]?.endsWith('.json')) return 'does not end in .json';
  return undefined;
}

/** A slug as AnythingLLM makes them; refuses what could not be one segment of a key. Throws `path_refused`. */
export function parseSlug(text: string): Slug {
  if (
    text === '' ||
    text === '.' ||
    text === '..' ||
    // oxlint-disable-next-line no-control-regex -- control characters are exactly what is refused here
    /[\u0000-\u001F\u007F/\\]/.test(text) ||
    !text.isWellFormed() ||
    encoder.encode(text).length > SLUG_BYTES_MAX
  )
    throw new DocbusError('path_refused', `The workspace slug ${quote(text)} is not a name that can be replicated.`);
  return text as Slug;
}

/** Takes a key apart. Throws `record_malformed` for an unknown form and `path_refused` for a path that would leave its directory. */
export function parseKey(text: string): ParsedKey & { readonly key: Key } {
  const slash = text.indexOf('/');
  const kind = text.slice(0, Math.max(slash, 0));
  const rest = text.slice(slash + 1);
  const key = text as Key;
  switch (kind) {
    case 'document':
    case 'embedding':
      return { key, kind, path: parseDocPath(rest) };
    case 'workspace':
      return { key, kind, slug: parseSlug(rest) };
    case 'membership': {
      const second = rest.indexOf('/');
      return { key, kind, slug: parseSlug(rest.slice(0, Math.max(second, 0))), path: parseDocPath(rest.slice(second + 1)) };
    }
    default:
      throw new DocbusError(
        'record_malformed',
        `${quote(text)} is not a key of docbus (document/…, embedding/…, workspace/…, membership/…).`,
      );
  }
}

export function kindOf(key: Key): Kind {
  return key.slice(0, key.indexOf('/')) as Kind;
}

/** A name as an operator can read it in one line, cut where it would fill the screen. */
function quote(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length <= 120 ? shown : `${shown.slice(0, 117)}…"`;
}
