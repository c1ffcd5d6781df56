// How documents come into being: raw text, uploads, spreadsheets, web links and imported pages, each with the file name, the fields
// and the event of the original. Nothing is embedded here unless `addToWorkspaces` says so.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DocPath } from '@docbus/core';
import { randomUuid } from '@docbus/runtime/clock.ts';
import { logEvent, type App } from './app.ts';
import type { Effect, Steps } from './effects.ts';
import { moveDocument, writeDocument, type DocumentData } from './files.ts';
import { addToWorkspaces } from './memberships.ts';
import { localTime, sanitizeFileName, slug, slugWithoutExtension } from './names.ts';
import { documentsDir } from './storage.ts';

const CUSTOM = 'custom-documents';

type Common = {
  readonly text: string;
  readonly docAuthor?: string;
  readonly description?: string;
  readonly docSource?: string;
  /** written to custom-documents first, and moved from there */
  readonly folder?: string;
  /** slugs; a document goes into one after the other, and the first failure ends it */
  readonly addToWorkspaces?: readonly string[];
};

export type RawText = Common & { readonly title: string; readonly url?: string; readonly chunkSource?: string };
export type Upload = Common & { readonly name: string; readonly title?: string; readonly chunkSource?: string };
export type Spreadsheet = Omit<Common, 'text'> & { readonly name: string; readonly sheets: Readonly<Record<string, string>> };
export type Link = Common & { readonly url: string; readonly title?: string };
export type Page = {
  readonly folder: string;
  readonly host: string;
  /** space, page number and date of the page: with the title they are the file's name */
  readonly page: string;
  readonly title: string;
  readonly text: string;
};

/** `custom-documents/raw-<slug>-<uuid>.json`. */
export async function* addRawText(app: App, input: RawText): Steps<DocPath> {
  const { title, text } = input;
  const id = randomUuid(app.clock);
  const stem = slugWithoutExtension(title);
  const data = {
    id,
    url: input.url !== undefined && /^https?:\/\/./i.test(input.url) ? `web://${input.url.toLowerCase()}.website` : `file://${stem}.txt`,
    title: `${stem}.txt`,
    docAuthor: input.docAuthor ?? 'no author specified',
    description: input.description ?? 'no description found',
    docSource: input.docSource ?? 'no source set',
    chunkSource: input.chunkSource ?? `${stem}.txt`,
    ...body(app, text),
  };
  const docpath = yield* writeDocument(app, CUSTOM, `raw-${stem}-${id}`, data);
  return yield* finish(app, [docpath], input, 'api_raw_document_uploaded', {});
}

/** `custom-documents/<name>-<uuid>.json`. */
export async function* upload(app: App, input: Upload): Steps<DocPath> {
  const { name } = input;
  const id = randomUuid(app.clock);
  const data = uploadData(app, id, input);
  const docpath = yield* writeDocument(app, CUSTOM, `${slug(name)}-${id}`, data);
  return yield* finish(app, [docpath], input, 'api_document_uploaded', { documentName: name });
}

/** What the collector makes of a text file. */
export function uploadData(app: App, id: string, input: Upload): DocumentData {
  const { name, text } = input;
  return {
    id,
    url: `file:///app/collector/hotdir/${name}`,
    title: input.title ?? name,
    docAuthor: input.docAuthor ?? 'Unknown',
    description: input.description ?? 'Unknown',
    docSource: input.docSource ?? 'a text file uploaded by the user.',
    chunkSource: input.chunkSource ?? '',
    ...body(app, text),
  };
}

/**
 * One document per sheet, `<slug>-<4 hex>/sheet-<sheet>.json`, without an id in its name: uploaded again into one `folder`, it replaces
 * what is there and leaves the stale cache, and each time an empty folder stays behind. Returns the first sheet's path.
 */
export async function* uploadSpreadsheet(app: App, input: Spreadsheet): Steps<DocPath[]> {
  const { name, sheets } = input;
  const folder = slug(`${name}-${randomUuid(app.clock).slice(0, 4)}`, true);
  mkdirSync(join(documentsDir(app.storageDir), folder), { recursive: true });
  yield { done: 'folder created', to: folder };
  const paths: string[] = [];
  for (const [sheet, text] of Object.entries(sheets)) {
    const data = {
      id: randomUuid(app.clock),
      url: `file:///app/server/storage/documents/${folder}/${slug(sheet)}.csv`,
      title: `${name} - Sheet:${sheet}`,
      docAuthor: input.docAuthor ?? 'Unknown',
      description: input.description ?? `Spreadsheet data from sheet: ${sheet}`,
      docSource: input.docSource ?? 'an xlsx file uploaded by the user.',
      chunkSource: '',
      ...body(app, text),
    };
    paths.push(yield* writeDocument(app, folder, `sheet-${slug(sheet)}`, data));
  }
  if (paths.length === 0) throw new Error(`500: ${name} has no sheets`);
  const moved = yield* moveIntoFolder(app, paths, input.folder);
  yield* announce(app, moved, input, 'api_document_uploaded', { documentName: name });
  return moved;
}

/** `custom-documents/url-<slug>-<uuid>.json`; the kind of document that can be watched. */
export async function* uploadLink(app: App, input: Link): Steps<DocPath> {
  const { url, text } = input;
  const id = randomUuid(app.clock);
  const { hostname, pathname } = new URL(url);
  const page = slug(`${hostname}${decodeURIComponent(pathname).replaceAll('/', '_')}`);
  const data = {
    id,
    url: `file://${page}.html`,
    title: input.title ?? `${page}.html`,
    docAuthor: input.docAuthor ?? 'no author found',
    description: input.description ?? 'No description found.',
    docSource: input.docSource ?? 'URL link uploaded by the user.',
    chunkSource: `link://${url}`,
    ...body(app, text),
  };
  const docpath = yield* writeDocument(app, CUSTOM, `url-${page}-${id}`, data);
  return yield* finish(app, [docpath], input, 'api_link_uploaded', { link: url });
}

/** A page of a wiki: folder and file name follow from the page, so that importing it again overwrites it in place, cache untouched. */
export async function* importPage(app: App, { folder, host, page, title, text }: Page): Steps<DocPath> {
  const id = `${host}.${page}`;
  const data = {
    id,
    url: `drupalwiki://https://${host}/node/${page}`,
    title,
    docAuthor: `https://${host}`,
    description: title,
    docSource: `https://${host} DrupalWiki`,
    chunkSource: `drupalwiki://https://${host}?pageId=${page}`,
    ...body(app, text),
  };
  return (yield* writeDocument(app, folder, sanitizeFileName(`${slug(title)}-${id}`), data)) as DocPath;
}

/** The fields that come last in every document. The count of tokens is an estimate there, and a rougher one here. */
function body({ clock }: App, text: string): Record<string, unknown> {
  if (text === '') throw new Error('422: a document without text');
  return {
    published: localTime(clock.now()),
    wordCount: text.split(' ').length,
    pageContent: text,
    token_count_estimate: Math.ceil(text.length / 4),
  };
}

type Destination = { readonly folder?: string; readonly addToWorkspaces?: readonly string[] };

async function* finish(app: App, paths: readonly string[], input: Destination, event: string, metadata: object): Steps<DocPath> {
  const moved = yield* moveIntoFolder(app, paths, input.folder);
  yield* announce(app, moved, input, event, metadata);
  return moved[0] as DocPath;
}

async function* announce(app: App, paths: readonly DocPath[], input: Destination, event: string, metadata: object): Steps<void> {
  const folder = input.folder === undefined ? {} : { folder: input.folder };
  yield* logEvent(app, event, { ...metadata, ...folder });
  const [first] = paths;
  if (input.addToWorkspaces !== undefined && first !== undefined) yield* addToWorkspaces(app, input.addToWorkspaces, first);
}

function* moveIntoFolder(app: App, paths: readonly string[], folder: string | undefined): Generator<Effect, DocPath[]> {
  if (folder === undefined) return paths as DocPath[];
  const directory = join(documentsDir(app.storageDir), folder);
  if (!existsSync(directory)) {
    mkdirSync(directory, { recursive: true });
    yield { done: 'folder created', to: folder };
  }
  const moved: DocPath[] = [];
  for (const from of paths) {
    const to = `${folder}/${from.slice(from.indexOf('/') + 1)}`;
    if (from !== to) yield* moveDocument(app, from, to);
    moved.push(to as DocPath);
  }
  return moved;
}
