// What people do to one AnythingLLM, drawn from few names so that replicas get in each other's way.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DocPath, Slug } from '@docbus/core';
import type { StandIn, Steps } from '../stand-in/index.ts';
import type { Random } from './random.ts';

export type Operation = {
  readonly name: string;
  readonly steps: Steps<unknown>;
  readonly reset: boolean;
  /** how many edits there were when it began */
  readonly since: number;
  /** Chroma or the embedder takes its time between some of its steps */
  readonly slow?: boolean;
  /** it does not go on before */
  pausedUntil?: number;
};

export type Sight = {
  readonly documents: readonly DocPath[];
  readonly slugs: readonly Slug[];
  readonly rows: readonly { readonly slug: Slug; readonly path: DocPath }[];
};

const words = ['alder', 'birch', 'cedar', 'drift', 'ember', 'flint', 'grove', 'heath', 'inlet', 'knoll', 'larch', 'marsh'];
const folders = ['custom-documents', 'wiki', 'wiki-b', 'sheets'];
const titles = ['Alpha', 'Beta', 'Gamma'];

export function textOf(random: Random): string {
  const length = random.weighted([
    [6, 6],
    [3, 30],
    [1, 60],
  ] as const);
  return Array.from({ length }, () => random.pick(words)).join(' ');
}

/** Too large to travel inside its change, and of no use to zstd. */
function largeTextOf(random: Random): string {
  return Buffer.from(random.bytes(36_000)).toString('base64');
}

export function sightOf(storageDir: string, rows: Sight['rows'], slugs: readonly Slug[]): Sight {
  const root = join(storageDir, 'documents');
  const documents = existsSync(root)
    ? readdirSync(root)
        .toSorted()
        .flatMap((folder) =>
          readdirSync(join(root, folder))
            .toSorted()
            .map((name) => `${folder}/${name}` as DocPath),
        )
        .filter((path) => path.endsWith('.json') && !path.includes('/.'))
    : [];
  return { documents, slugs, rows };
}

type Draw = (app: StandIn, sight: Sight, random: Random) => Steps<unknown> | undefined;

const from = <T>(random: Random, list: readonly T[]): T | undefined => (list.length === 0 ? undefined : random.pick(list));

/** Not embedded: a thousand chunks would say nothing that four do not. */
export const isLarge = (path: string): boolean => path.includes('large');

const draws: Record<string, readonly [weight: number, draw: Draw]> = {
  addRawText: [
    4,
    ({ steps }, { slugs }, random) => {
      const addToWorkspaces = random.chance(0.6) && slugs.length > 0 ? [random.pick(slugs)] : [];
      return steps.addRawText({ title: random.pick(titles), text: textOf(random), addToWorkspaces });
    },
  ],
  addLarge: [0.4, ({ steps }, _, random) => steps.addRawText({ title: 'large', text: largeTextOf(random) })],
  uploadIntoFolder: [
    2,
    ({ steps }, { slugs }, random) =>
      steps.upload({
        name: `${random.pick(words)}.txt`,
        text: textOf(random),
        folder: random.pick(folders),
        ...(random.chance(0.5) && slugs.length > 0 ? { addToWorkspaces: [random.pick(slugs)] } : {}),
      }),
  ],
  importPage: [
    6,
    ({ steps }, _, random) => {
      const page = String(random.below(4));
      return steps.importPage({ folder: random.pick(folders), host: 'wiki.test', page, title: 'Page', text: textOf(random) });
    },
  ],
  uploadSpreadsheet: [
    2,
    ({ steps }, _, random) =>
      steps.uploadSpreadsheet({
        name: 'table.xlsx',
        sheets: { one: textOf(random), ...(random.chance(0.5) ? { two: textOf(random) } : {}) },
        folder: 'sheets',
      }),
  ],
  uploadLink: [
    2,
    ({ steps }, { slugs }, random) =>
      steps.uploadLink({
        url: `https://site.test/${random.pick(words)}`,
        text: textOf(random),
        ...(slugs.length > 0 ? { addToWorkspaces: [random.pick(slugs)] } : {}),
      }),
  ],
  embed: [
    12,
    ({ steps }, { documents, slugs }, random) => {
      const slug = from(random, slugs);
      const usable = documents.filter((path) => !isLarge(path));
      if (slug === undefined || usable.length === 0) return undefined;
      const paths = Array.from({ length: 1 + random.below(3) }, () => random.pick(usable));
      return steps.embed(slug, ...new Set(random.chance(0.9) ? paths : [...paths, ...paths]));
    },
  ],
  embedTwice: [
    1,
    ({ steps }, { rows }, random) => {
      const row = from(random, rows);
      return row === undefined ? undefined : steps.embed(row.slug, row.path);
    },
  ],
  unembed: [
    5,
    ({ steps }, { rows }, random) => {
      const row = from(random, rows);
      return row === undefined ? undefined : steps.unembed(row.slug, row.path);
    },
  ],
  pin: [
    4,
    ({ steps }, { rows }, random) => {
      const row = from(random, rows);
      return row === undefined ? undefined : random.chance(0.6) ? steps.pin(row.slug, row.path) : steps.unpin(row.slug, row.path);
    },
  ],
  move: [
    2,
    ({ steps }, { documents }, random) => {
      const path = from(random, documents);
      if (path === undefined) return undefined;
      return steps.moveFiles({ from: path, to: `${random.pick(folders)}/${path.slice(path.indexOf('/') + 1)}` });
    },
  ],
  removeDocument: [
    4,
    ({ steps }, { documents }, random) => {
      const path = from(random, documents);
      return path === undefined ? undefined : steps.removeDocument(path);
    },
  ],
  removeFolder: [0.7, ({ steps }, _, random) => steps.removeFolder(random.pick(folders.slice(1)))],
  createFolder: [0.5, ({ steps }, _, random) => steps.createFolder(random.pick(folders))],
  createWorkspace: [
    4,
    ({ steps }, { slugs }, random) => {
      const missing = titles.filter((title) => !slugs.includes(title.toLowerCase() as Slug));
      return missing.length === 0 && random.chance(0.9)
        ? undefined
        : steps.createWorkspace(random.pick(missing.length === 0 ? titles : missing));
    },
  ],
  updateWorkspace: [
    4,
    ({ steps }, { slugs }, random) => {
      const slug = from(random, slugs);
      if (slug === undefined) return undefined;
      return steps.updateWorkspace(
        slug,
        random.chance(0.5) ? { name: `${slug} ${random.pick(words)}` } : { topN: 1 + random.below(9), openAiTemp: random.below(10) / 10 },
      );
    },
  ],
  deleteWorkspace: [
    1.2,
    ({ steps }, { slugs }, random) => {
      const slug = from(random, slugs);
      return slug === undefined ? undefined : steps.deleteWorkspace(slug);
    },
  ],
  saveChunkSettings: [
    0.8,
    ({ steps }, _, random) => steps.saveChunkSettings({ size: 40 + random.below(3) * 20, ...(random.chance(0.5) ? { overlap: 5 } : {}) }),
  ],
  resetAllVectorStores: [0.3, ({ steps }) => steps.resetAllVectorStores()],
  resetWorkspaceVectors: [
    0.4,
    ({ steps }, { slugs }, random) => {
      const slug = from(random, slugs);
      return slug === undefined ? undefined : steps.resetWorkspaceVectors(slug);
    },
  ],
  watch: [
    2,
    ({ steps }, { rows }, random) => {
      const row = from(
        random,
        rows.filter(({ path }) => isWatchable(path)),
      );
      return row === undefined ? undefined : steps.watch(row.slug, row.path);
    },
  ],
  resyncWatched: [
    2,
    ({ steps }, _, random) => {
      const text = textOf(random);
      return steps.resyncWatched({ fetch: () => text, until: Number.MAX_SAFE_INTEGER });
    },
  ],
  storeMemory: [
    1,
    ({ steps }, { slugs }, random) => {
      const slug = from(random, slugs);
      return slug === undefined ? undefined : steps.storeMemory(slug, textOf(random));
    },
  ],
};

/** Not on a machine whose agent is told of another embedder: what it published would be wrong for good. */
export const embeds = new Set(['addRawText', 'uploadIntoFolder', 'uploadLink', 'embed', 'embedTwice', 'resyncWatched', 'storeMemory']);

/** Operations that wait for Chroma or the embedder, which may take seconds: longer than an agent takes for things to have settled. */
export const waits = new Set([...embeds, 'unembed', 'removeDocument', 'removeFolder']);

const isWatchable = (path: DocPath): boolean => path.includes('/url-');

/** What it takes for a re-sync to go through several workspaces: a fetched document in more than one of them, watched, and changed at its source. */
function drawWatching({ steps }: StandIn, { documents, slugs, rows }: Sight, random: Random): Operation {
  const path = from(random, documents.filter(isWatchable));
  const operation = { reset: false, since: 0 };
  if (path === undefined) {
    const link = { url: `https://site.test/${random.pick(words)}`, text: textOf(random), addToWorkspaces: slugs };
    return { ...operation, name: 'uploadLink', steps: steps.uploadLink(link) };
  }
  const holding = slugs.filter((slug) => rows.some((row) => row.slug === slug && row.path === path));
  const [slug] = holding;
  if (slug === undefined || holding.length < 2) {
    const without = slugs.filter((other) => !holding.includes(other));
    return { ...operation, name: 'embed', steps: steps.embed(random.pick(without), path) };
  }
  const text = textOf(random);
  async function* watchAndResync(): Steps<void> {
    yield* steps.watch(slug as Slug, path as DocPath);
    yield* steps.resyncWatched({ fetch: () => text, until: Number.MAX_SAFE_INTEGER });
  }
  return { ...operation, name: 'resyncWatched', steps: watchAndResync() };
}

/** Undefined where the operation that was drawn has nothing to work on. */
export function drawOperation(app: StandIn, sight: Sight, random: Random, watchful = false): Operation | undefined {
  const choices = Object.entries(draws).map(([name, [weight]]) => [weight, name] as const);
  if (watchful && sight.slugs.length > 1 && random.chance(0.6)) return drawWatching(app, sight, random);
  const name = sight.slugs.length === 0 ? random.pick(['createWorkspace', 'addRawText', 'importPage']) : random.weighted(choices);
  const steps = draws[name]?.[1](app, sight, random);
  return steps === undefined ? undefined : { name, steps, reset: name.startsWith('reset'), since: 0 };
}
