// One day in the life of a replica: every kind of change that AnythingLLM makes, so that publishing or applying it takes every call
// that an agent has. Each day undoes a part of the one before, so that days can follow each other without end.
import { waitFor } from '../servers/process.ts';
import type { Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const MONTH_MS = 30 * 86_400_000;

export type Days = {
  /** Lives one more day; returns the keys that it changed. */
  live(): Promise<readonly string[]>;
};

/** Makes what all days share: a workspace, and a watched document in it. */
export async function beginDays({ app }: E2eReplica): Promise<Days> {
  const commons = await app.createWorkspace('Commons');
  const link = await app.uploadLink({ url: 'https://example.org/news', text: textAbout('the news of day 0', 10) });
  await app.embed(commons, link);
  await app.watch(commons, link);
  const days: { readonly path: string; readonly slug: string; readonly loose: string }[] = [];
  return {
    async live() {
      const number = days.length + 1;
      const path = await app.addRawText({ title: `Diary ${number}`, text: textAbout(`day ${number}`, 14) });
      const loose = await app.addRawText({ title: `Loose leaf ${number}`, text: textAbout(`leaf ${number}`, 2) });
      const slug = await app.createWorkspace(`Day ${number}`);
      await app.embed(commons, path);
      await app.embed(slug, path, link);
      await app.pin(commons, path);
      await app.updateWorkspace(commons, { name: `Commons on day ${number}` });
      await app.resyncWatched({ fetch: () => textAbout(`the news of day ${number}`, 10 + (number % 3)), until: Date.now() + MONTH_MS });
      const changed = [
        `document/${path}`,
        `embedding/${path}`,
        `document/${loose}`,
        `document/${link}`,
        `embedding/${link}`,
        `workspace/${slug}`,
        `workspace/${commons}`,
        `membership/${commons}/${path}`,
        `membership/${slug}/${path}`,
        `membership/${slug}/${link}`,
      ];
      const yesterday = days.at(-1);
      if (yesterday !== undefined) {
        await app.unembed(yesterday.slug, link);
        await app.deleteWorkspace(yesterday.slug);
        await app.removeDocument(yesterday.path);
        await app.removeDocument(yesterday.loose);
        changed.push(
          `workspace/${yesterday.slug}`,
          `membership/${yesterday.slug}/${link}`,
          `membership/${yesterday.slug}/${yesterday.path}`,
          `membership/${commons}/${yesterday.path}`,
          `document/${yesterday.path}`,
          `document/${yesterday.loose}`,
        );
      }
      days.push({ path, slug, loose });
      return changed;
    },
  };
}

/** Waits until the log holds all of these keys after a position. */
export async function untilPublished(
  cluster: Cluster,
  after: Awaited<ReturnType<Cluster['logEnd']>>,
  keys: readonly string[],
): Promise<void> {
  await waitFor('the day to be published', async () => new Set(keys).difference(new Set(await cluster.keysAfter(after))).size === 0, {
    deadlineMs: 30_000,
    everyMs: 30,
  });
}
