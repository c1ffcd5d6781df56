// People at work on one replica through the stand-in for AnythingLLM: one operation after another, whatever else goes on.
import { DatabaseSync } from 'node:sqlite';
import type { Slug } from '@docbus/core';
import { systemClock } from '@docbus/runtime/clock.ts';
import type { E2eReplica } from '../e2e/replica.ts';
import { drawOperation, sightOf } from '../simulation/operations.ts';
import { membershipRowsOn, vectorIdsOn } from '../simulation/pictures.ts';
import type { Random } from '../simulation/random.ts';
import { openAppVectors, openStandIn, type AppVectors, type StandIn, type Steps } from '../stand-in/index.ts';
import { databaseFile } from '../stand-in/storage.ts';
import { observe, type Journal } from './edits.ts';

export type People = Disposable & {
  readonly app: StandIn;
  readonly counts: { attempted: number; completed: number; failed: number };
  /** ids of vectors that AnythingLLM left in Chroma without a row, added or not removed: its own carelessness, as without docbus */
  readonly leftovers: ReadonlySet<string>;
  /** every operation with its effects, for whoever looks for the reason of a failure */
  readonly notes: readonly string[];
  /** Operations until the signal aborts; resolves between two. */
  work(signal: AbortSignal): Promise<void>;
  /** Runs while no operation is under way. */
  between(work: () => Promise<void>): Promise<void>;
  /** Documents in a workspace whose file is gone: a removal that failed half way. */
  orphans(): readonly string[];
  removeAgain(path: string): Promise<void>;
};

/**
 * A reset asks the operator, which is tested elsewhere; an agent's memory has vectors and never a row, which is not replicated.
 */
const left = new Set(['resetAllVectorStores', 'resetWorkspaceVectors', 'storeMemory']);
const PAUSE_MS = [150, 1_200] as const;

export function openPeople(replica: E2eReplica, journal: Journal, random: Random): People {
  const { storageDir, stateDir, embedder, chroma, name } = replica;
  const sent: Sent = { added: new Set(), removed: new Set(), dropped: 0 };
  const app = openStandIn({ storageDir, embedder, clock: systemClock, vectors: recording(openAppVectors(chroma.url), sent) });
  // Not read-only: whoever opens it after an agent was killed in the middle of a write has to roll that back first.
  const reader = new DatabaseSync(databaseFile(storageDir), { timeout: 5_000 });
  const observer = observe(journal, { replica: name, storageDir, stateDir, reader });
  const counts = { attempted: 0, completed: 0, failed: 0 };
  const leftovers = new Set<string>();
  const notes: string[] = [];
  const write = (text: string): void => void notes.push(`${new Date().toISOString()} ${name} ${text}`);
  let busy: Promise<unknown> = Promise.resolve();

  /** One at a time. */
  const alone = async <T>(work: () => Promise<T>): Promise<T> => {
    const before = busy;
    const mine = Promise.withResolvers<void>();
    busy = mine.promise;
    await before;
    try {
      return await work();
    } finally {
      mine.resolve();
    }
  };
  const perform = async (operation: string, steps: Steps<unknown>): Promise<void> => {
    counts.attempted += 1;
    sent.added.clear();
    sent.removed.clear();
    sent.dropped = 0;
    const unnamed = new Set<string>();
    const since = journal.edits.length;
    write(operation);
    try {
      for (;;) {
        const before = observer.look();
        const named = namedIds();
        const step = await steps.next();
        if (step.done === true) break;
        if (step.value.done === 'vector rows removed') for (const id of named.difference(namedIds())) unnamed.add(id);
        observer.note(before, step.value, operation);
        write(`  ${step.value.done} ${step.value.to}`);
      }
      counts.completed += 1;
    } catch (error) {
      write(`  ${(error as Error).message}`);
      // The original answers 500; what it had done until then stays done.
      counts.failed += 1;
      observer.fail(since);
    }
    const named = namedIds();
    const lefts = [...sent.added.difference(named), ...(sent.dropped > 0 ? [] : unnamed.difference(sent.removed).difference(named))];
    for (const id of lefts) {
      leftovers.add(id);
      write(`  left behind ${id}`);
    }
  };
  /** of documents that are in a workspace */
  const namedIds = (): Set<string> => {
    const docIds = new Set(membershipRowsOn(reader).map(({ docId }) => docId));
    return new Set([...vectorIdsOn(reader)].flatMap(([docId, ids]) => (docIds.has(docId) ? ids : [])));
  };
  const draw = () => {
    for (;;) {
      const slugs = reader
        .prepare('select slug from workspaces order by slug')
        .all()
        .map(({ slug }) => String(slug) as Slug);
      const operation = drawOperation(app, sightOf(storageDir, membershipRowsOn(reader), slugs), random);
      if (operation !== undefined && !left.has(operation.name)) return operation;
    }
  };

  return {
    app,
    counts,
    leftovers,
    notes,
    between: alone,
    async work(signal) {
      while (!signal.aborted) {
        await alone(async () => {
          const { name: operation, steps } = draw();
          await perform(operation, steps);
        });
        const [least, most] = PAUSE_MS;
        await systemClock.sleep(least + random.below(most - least), signal).catch(() => undefined); // aborted: the loop's condition ends it
      }
    },
    orphans() {
      const files = observer.look().documents;
      return [...new Set(membershipRowsOn(reader).flatMap(({ path }) => (files.has(path) ? [] : [path])))];
    },
    removeAgain: async (path) => await alone(async () => await perform('remove again', app.steps.removeDocument(path))),
    [Symbol.dispose]: () => {
      reader.close();
      app[Symbol.dispose]();
    },
  };
}

/** What one operation asked of Chroma: added whether or not it arrived, removed only where it did. */
type Sent = { readonly added: Set<string>; readonly removed: Set<string>; dropped: number };

function recording(vectors: AppVectors, sent: Sent): AppVectors {
  return {
    ...vectors,
    add: async (collection, submission) => {
      for (const id of submission.ids) sent.added.add(id);
      await vectors.add(collection, submission);
    },
    delete: async (collection, ids) => {
      await vectors.delete(collection, ids);
      for (const id of ids) sent.removed.add(id);
    },
    deleteCollection: async (name) => {
      await vectors.deleteCollection(name);
      sent.dropped += 1;
    },
  };
}
