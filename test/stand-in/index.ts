// A stand-in for AnythingLLM v1.16: performs its operations on a storage directory, its database and a Chroma, with the effects of the
// original, in the original's order and with the original's carelessness. Written from how the original behaves; none of its code is here.
// Everything random and every date comes from the clock, so that a seed decides all.
import type { Clock } from '@docbus/runtime/clock.ts';
import type { Embedder } from '../embedder/index.ts';
import type { App } from './app.ts';
import * as attachments from './attachments.ts';
import * as collector from './collector.ts';
import { openDatabase, type Swallowed } from './database.ts';
import { run, type Steps } from './effects.ts';
import { inspect, type Inspection } from './inspect.ts';
import * as library from './library.ts';
import * as memberships from './memberships.ts';
import { searchNamespace } from './provider.ts';
import * as settings from './settings.ts';
import type { AppVectors, Found } from './vectors.ts';
import * as watching from './watching.ts';
import * as workspaces from './workspaces.ts';

export { effectsOf, run, runUntil, type Effect, type EffectName, type Steps } from './effects.ts';
export { comparable, inspect, strays, type Inspection } from './inspect.ts';
export { createStorage, createTemplate } from './storage.ts';
export { openAppVectors } from './vectors-chroma.ts';
export { openFakeAppVectors } from './vectors-fake.ts';
export type { AppVectors, Collection, Found, StoredVector, Submission } from './vectors.ts';
export { DEFAULT_PROMPT } from './workspaces.ts';

export type StandInOptions = {
  /** made by `createStorage` */
  readonly storageDir: string;
  readonly vectors: AppVectors;
  readonly embedder: Embedder;
  readonly clock: Pick<Clock, 'now' | 'random'>;
  /** How long a locked database is waited for (default 5,000 as in the original; it blocks the thread, so a simulation wants 0). */
  readonly busyMs?: number;
  /** Sync every write of the database to the disk (default true, as in the original); a simulation that never loses power wants false. */
  readonly durable?: boolean;
};

/** Every operation as steps: `next()` performs one effect, `return()` abandons the operation as a killed process would. */
function stepsOf(app: App) {
  return {
    addRawText: (input: collector.RawText) => collector.addRawText(app, input),
    upload: (input: collector.Upload) => collector.upload(app, input),
    uploadSpreadsheet: (input: collector.Spreadsheet) => collector.uploadSpreadsheet(app, input),
    uploadLink: (input: collector.Link) => collector.uploadLink(app, input),
    importPage: (input: collector.Page) => collector.importPage(app, input),
    attach: (slug: string, attachment: attachments.Attachment) => attachments.attach(app, slug, attachment),
    embedAttachment: (slug: string, id: number) => attachments.embedAttachment(app, slug, id),
    createFolder: (name: string) => library.createFolder(app, name),
    moveFiles: (...moves: library.Move[]) => library.moveFiles(app, moves),
    removeDocument: (docpath: string) => library.removeDocument(app, docpath),
    removeFolder: (name: string) => library.removeFolder(app, name),
    createWorkspace: (name: string, fields?: Omit<workspaces.WorkspaceFields, 'name'>) => workspaces.createWorkspace(app, name, fields),
    updateWorkspace: (slug: string, fields: workspaces.WorkspaceFields) => workspaces.updateWorkspace(app, slug, fields),
    deleteWorkspace: (slug: string) => workspaces.deleteWorkspace(app, slug),
    resetWorkspaceVectors: (slug: string) => workspaces.resetWorkspaceVectors(app, slug),
    embed: (slug: string, ...docpaths: string[]) => memberships.updateEmbeddings(app, slug, { adds: docpaths }),
    unembed: (slug: string, ...docpaths: string[]) => memberships.updateEmbeddings(app, slug, { deletes: docpaths }),
    updateEmbeddings: (slug: string, changes: { readonly adds?: readonly string[]; readonly deletes?: readonly string[] }) =>
      memberships.updateEmbeddings(app, slug, changes),
    pin: (slug: string, docpath: string) => memberships.pin(app, slug, docpath, true),
    unpin: (slug: string, docpath: string) => memberships.pin(app, slug, docpath, false),
    storeMemory: (slug: string, text: string) => memberships.storeMemory(app, slug, text),
    watch: (slug: string, docpath: string) => watching.watch(app, slug, docpath),
    unwatch: (slug: string, docpath: string) => watching.unwatch(app, slug, docpath),
    resyncWatched: (resync: watching.Resync) => watching.resyncWatched(app, resync),
    saveChunkSettings: (chunks: settings.ChunkSettings) => settings.saveChunkSettings(app, chunks),
    resetAllVectorStores: () => settings.resetAllVectorStores(app),
  };
}

type AllSteps = ReturnType<typeof stepsOf>;
type Operations = {
  readonly [Name in keyof AllSteps]: AllSteps[Name] extends (...args: infer Args) => Steps<infer Result>
    ? (...args: Args) => Promise<Result>
    : never;
};

/** Operations reject as the original answers 400, 404, 422 and 500, and resolve where it answers 200, whatever it kept to itself. */
export type StandIn = Operations &
  Disposable & {
    readonly storageDir: string;
    readonly embedder: Embedder;
    readonly steps: AllSteps;
    /** errors that the original only prints */
    readonly swallowed: readonly Swallowed[];
    /** what a chat or a vector search would get from a workspace: the nearest first */
    query(slug: string, text: string, count?: number): Promise<readonly Found[]>;
    inspect(): Promise<Inspection>;
  };

/** Opens the database and keeps it open, as the original does. Dispose it before the storage is taken away. */
export function openStandIn({ storageDir, vectors, embedder, clock, busyMs = 5_000, durable = true }: StandInOptions): StandIn {
  const database = openDatabase(storageDir, { busyMs, durable });
  const app: App = { storageDir, database, vectors, embedder, clock };
  const steps = stepsOf(app);
  const whole = Object.entries(steps).map(([name, operation]) => {
    const start = operation as (...args: unknown[]) => Steps<unknown>;
    return [name, (...args: unknown[]) => run(start(...args))] as const;
  });
  return {
    ...(Object.fromEntries(whole) as unknown as Operations),
    storageDir,
    embedder,
    steps,
    swallowed: database.swallowed,
    query: (slug, text, count = 4) => searchNamespace(app, slug, text, count),
    inspect: () => inspect(app),
    [Symbol.dispose]: () => database.close(),
  };
}
