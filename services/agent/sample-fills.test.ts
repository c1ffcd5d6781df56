// What AnythingLLM filled by itself is compared with what was published, later and without holding up anybody.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DocbusError, documentKey, membershipKey, type DocPath, type ErrorCode, type Slug } from '@docbus/core';
import type { LogRecord } from '@docbus/log/port.ts';
import { embeddingOf, openTestAgent, plainWorkspace, recordsOfTheirs, theirDocument, theirEmbedding } from './agent-for-tests.ts';

const never = new AbortController().signal;
const slug = 'w' as Slug;
const path = 'f/page.json' as DocPath;
const SETTLED_MS = 60_000;
const docIdOf = (n: number): string => `${String(n).padStart(8, '0')}-1111-4111-8111-111111111111`;
const theirIdOf = (n: number): string => `${String(n).padStart(8, '0')}-2222-4222-8222-222222222222`;
const docId = docIdOf(1);

type Page = { readonly slug?: Slug; readonly path?: DocPath; readonly docId?: string; readonly filled: string; readonly cached: string };
type Trouble = { fetch?: (slug: Slug) => ErrorCode | undefined; add?: ErrorCode; remove?: ErrorCode; isReplaced?: boolean };

/** An agent whose Chroma and database can be made to fail, and AnythingLLM beside it. */
async function arrange(t: TestContext) {
  let shift = 0;
  const trouble: Trouble = {};
  const asked: string[] = [];
  const added: string[] = [];
  const failed: ErrorCode[] = [];
  const fail = (code: ErrorCode | undefined): void => {
    if (code === undefined) return;
    failed.push(code);
    throw new DocbusError(code, 'planted');
  };
  const { agent, storageDir, manifest } = openTestAgent(t, (options) => {
    const { vectors, records } = options.replica;
    return {
      ...options,
      clock: { ...options.clock, now: () => options.clock.now() + shift },
      replica: {
        ...options.replica,
        vectors: {
          ...vectors,
          fetch: async (...args) => {
            asked.push(...args[1]);
            fail(trouble.fetch?.(args[0]));
            return await vectors.fetch(...args);
          },
          remove: async (...args) => {
            if (args[1].length > 0) fail(trouble.remove);
            await vectors.remove(...args);
          },
          add: async (...args) => {
            fail(trouble.add);
            added.push(...args[1].ids);
            await vectors.add(...args);
          },
        },
        records: {
          ...records,
          look: () => ({ ...records.look(), ...(trouble.isReplaced === true ? { eventSequence: -1 } : {}) }),
          membershipsHolding: (ids) => (trouble.isReplaced === true ? [] : records.membershipsHolding(ids)),
        },
      },
    };
  });
  const { records, vectors, caches } = agent.context.replica;
  const turn = async (): Promise<void> => {
    for (let more = true; more;) more = [await agent.consumeOnce(never), await agent.publishOnce(never)].some((step) => step.more);
  };
  await turn();
  mkdirSync(join(storageDir, 'vector-cache'), { recursive: true });
  const write = (page: DocPath, text: string): void => {
    writeFileSync(join(storageDir, 'documents', page), JSON.stringify({ title: 'Page', pageContent: text }));
    agent.hint({ all: true });
  };
  let ids = 0;
  const fill = async (to: { readonly slug: Slug; readonly docId: string }, text: string): Promise<void> => {
    const vectorId = theirIdOf((ids += 1));
    await vectors.add(to.slug, { ...embeddingOf(text), ids: [vectorId] }, never);
    records.addVectorIds([{ docId: to.docId, vectorId }]);
  };
  /** As AnythingLLM embeds: its collection and its cache may say different things. */
  const embed = async (page: Page): Promise<void> => {
    const to = { slug, path, docId, ...page };
    if (records.workspace(to.slug) === undefined) records.putWorkspace(to.slug, plainWorkspace);
    write(to.path, to.cached);
    caches.write(to.path, embeddingOf(to.cached), [theirIdOf(ids + 1)]);
    await fill(to, to.filled);
    records.setMemberships([{ ...to, copies: [{ docId: to.docId, pinned: false }], expected: [], metadata: '{}' }]);
    added.length = 0;
  };
  const idsOf = (of: string): readonly string[] => records.vectorIds([of]).get(of) ?? [];
  const texts = async (of = docId, place = slug): Promise<readonly string[] | undefined> =>
    (await vectors.fetch(place, idsOf(of), never))?.texts;
  const wait = (ms: number): void => void (shift += ms);
  const settle = async (times = 1): Promise<void> => {
    for (let i = 0; i < times; i++) {
      wait(SETTLED_MS);
      await turn();
    }
  };
  const arrive = async (arriving: readonly LogRecord[]): Promise<void> => await agent.context.log.append(arriving, never);
  const forgetIds = (of: string): void => records.removeVectorIds(idsOf(of).map((vectorId) => ({ docId: of, vectorId })));
  return {
    agent,
    manifest,
    caches,
    vectors,
    trouble,
    asked,
    added,
    failed,
    turn,
    write,
    fill,
    embed,
    texts,
    wait,
    settle,
    arrive,
    forgetIds,
  };
}

test('vectors that AnythingLLM made from what is published stay, and are looked at once, after publishing', async (t) => {
  const { manifest, asked, added, turn, settle, embed } = await arrange(t);
  await embed({ filled: 'now', cached: 'now' });
  await turn();
  assert.equal(manifest.outbox().length, 0);
  assert.notEqual(manifest.fill(docId), undefined, 'published and recorded');
  assert.deepEqual(asked, [], 'nobody who waits for an edit waits for Chroma');
  await settle();
  assert.equal(asked.length, 1);
  await settle(3);
  assert.equal(asked.length, 1, 'once is enough');
  assert.deepEqual(added, []);
});

test('vectors that AnythingLLM made from an earlier cache are replaced', async (t) => {
  const { turn, settle, texts, embed } = await arrange(t);
  await embed({ filled: 'earlier', cached: 'now' });
  await turn();
  assert.deepEqual(await texts(), ['earlier']);
  // looked at, asked to be filled anew (AnythingLLM may be at work on it), filled anew
  await settle(3);
  assert.deepEqual(await texts(), ['now']);
});

test('they are replaced also where the same embedding arrives before that', async (t) => {
  const { turn, settle, texts, embed, arrive, wait } = await arrange(t);
  await embed({ filled: 'earlier', cached: 'now' });
  await turn();
  await settle();
  await arrive(theirEmbedding(path, 'now', 2));
  wait(10);
  await turn();
  await settle(5);
  assert.deepEqual(await texts(), ['now']);
});

test('a row with an earlier embedding is refilled also where its note is overtaken by a new one', async (t) => {
  const { turn, settle, texts, embed, fill, write, caches, arrive, wait, forgetIds, manifest } = await arrange(t);
  const x = { slug: 'x' as Slug, docId: docIdOf(2) };
  await embed({ filled: 'first', cached: 'first' });
  await embed({ ...x, filled: 'first', cached: 'first' });
  await turn();
  wait(SETTLED_MS * 0.9);
  // A re-sync has done the one and not yet the other, when AnythingLLM dies.
  write(path, 'second');
  caches.write(path, embeddingOf('second'), [theirIdOf(99)]);
  forgetIds(docId);
  await fill({ slug, docId }, 'second');
  await turn();
  assert.ok(manifest.intents().some(({ key }) => key === membershipKey(x.slug, path)));
  wait(SETTLED_MS * 0.15);
  await turn();
  await arrive(theirEmbedding(path, 'second', 3));
  await turn();
  await settle(5);
  assert.deepEqual(await texts(x.docId, x.slug), ['second']);
});

test('while Chroma is away nothing else waits for the look, which is made when it is back', async (t) => {
  const { manifest, turn, settle, texts, trouble, write, asked, embed } = await arrange(t);
  await embed({ filled: 'earlier', cached: 'now' });
  await turn();
  trouble.fetch = () => 'chroma_unreachable';
  await settle();
  assert.equal(asked.length, 1, 'asked in vain');
  await turn();
  assert.equal(asked.length, 1, 'and left alone for a while');
  write('f/other.json' as DocPath, 'other');
  await turn();
  assert.equal(manifest.entry(documentKey('f/other.json' as DocPath))?.logged, true);
  delete trouble.fetch;
  await settle(70);
  assert.deepEqual(await texts(), ['now']);
});

for (const [what, filled, refuse] of [
  ['to read', 'now', (trouble: Trouble) => (trouble.fetch = () => 'chroma_refused')],
  ['to fill', 'earlier', (trouble: Trouble) => (trouble.add = 'chroma_refused')],
] as const)
  test(`what Chroma refuses ${what} for now stops no publishing, and right vectors are not sent again`, async (t) => {
    const { turn, settle, trouble, added, failed, texts, write, manifest, embed } = await arrange(t);
    await embed({ filled, cached: 'now' });
    await turn();
    refuse(trouble);
    await settle(3);
    assert.ok(failed.includes('chroma_refused'));
    write('f/other.json' as DocPath, 'other');
    await settle();
    assert.equal(manifest.entry(documentKey('f/other.json' as DocPath))?.state, 'present');
    delete trouble.fetch;
    delete trouble.add;
    await settle(70);
    assert.equal(added.length, filled === 'now' ? 0 : 1);
    assert.deepEqual(await texts(), ['now']);
    assert.deepEqual(manifest.unsampledFills(9), []);
  });

test('one workspace that cannot be read keeps no other from being sampled', async (t) => {
  const { turn, settle, trouble, texts, embed } = await arrange(t);
  const well = 'well' as Slug;
  await embed({ slug: 'sick' as Slug, filled: 'now', cached: 'now' });
  await embed({ slug: well, path: 'f/two.json' as DocPath, docId: docIdOf(2), filled: 'earlier', cached: 'two' });
  await turn();
  trouble.fetch = (place) => (place === 'sick' ? 'chroma_unreachable' : undefined);
  await settle(5);
  assert.deepEqual(await texts(docIdOf(2), well), ['two']);
});

test('more notes than one look takes need some looks, also where the first of them cannot be read', async (t) => {
  const { turn, wait, settle, trouble, agent, asked, added, manifest, embed } = await arrange(t);
  const sick = 'sick' as Slug;
  for (let i = 1; i <= 210; i++) {
    const page = `f/p${i}.json` as DocPath;
    await embed({ slug: i <= 205 ? sick : slug, path: page, docId: docIdOf(i), filled: `t${i}`, cached: `t${i}` });
  }
  await turn();
  assert.equal(manifest.unsampledFills(1000).length, 210);
  trouble.fetch = (place) => (place === sick ? 'chroma_refused' : undefined);
  await settle(70);
  assert.equal(manifest.unsampledFills(1000).length, 205, 'the others were looked at');
  delete trouble.fetch;
  asked.length = 0;
  wait(SETTLED_MS * 70);
  let looks = 0;
  for (; manifest.unsampledFills(1).length > 0; looks++) await agent.publishOnce(never);
  assert.ok(looks <= 4, `${looks} looks`);
  assert.equal(asked.length, 205);
  await settle(3);
  assert.deepEqual(added, []);
});

test('a database that is replaced in the middle of a step takes no note away', async (t) => {
  const { turn, settle, trouble, texts, agent, wait, manifest, embed } = await arrange(t);
  await embed({ filled: 'earlier', cached: 'now' });
  await turn();
  wait(SETTLED_MS);
  const { unsampledFills } = manifest;
  Object.assign(manifest, {
    unsampledFills: (...args: Parameters<typeof unsampledFills>) => {
      trouble.isReplaced = true;
      return unsampledFills(...args);
    },
  });
  await agent.publishOnce(never);
  Object.assign(manifest, { unsampledFills });
  delete trouble.isReplaced;
  await settle(5);
  assert.deepEqual(await texts(), ['now']);
});

test('what is noted after a look is left time to settle, too', async (t) => {
  const { turn, agent, asked, manifest, wait, embed } = await arrange(t);
  await embed({ filled: 'now', cached: 'now' });
  await turn();
  wait(SETTLED_MS);
  await agent.publishOnce(never);
  assert.equal(asked.length, 1);
  await embed({ path: 'f/two.json' as DocPath, docId: docIdOf(2), filled: 'two', cached: 'two' });
  await turn();
  assert.equal(manifest.unsampledFills(9).length, 1);
});

test('what changed since it was noted is not decided by an old note', async (t) => {
  const { manifest, turn, settle, asked, embed } = await arrange(t);
  await embed({ filled: 'now', cached: 'now' });
  await turn();
  manifest.dropFill(docId);
  await settle();
  assert.deepEqual(asked, []);
  assert.deepEqual(manifest.unsampledFills(10), []);
});

for (const isAway of [false, true])
  test(`our vectors go with a removal by others, also where AnythingLLM died after it removed their rows${isAway ? ', and Chroma was away at the first try' : ''}`, async (t) => {
    const { agent, trouble, settle, arrive, forgetIds, vectors, manifest } = await arrange(t);
    await arrive(theirDocument({ slug, path, docId }));
    await settle(4);
    assert.equal(await vectors.count(slug, never), 1);
    forgetIds(docId);
    await arrive(recordsOfTheirs(membershipKey(slug, path), null, { revision: 2 }));
    if (isAway) {
      trouble.remove = 'chroma_unreachable';
      await assert.rejects(agent.consumeOnce(never));
      delete trouble.remove;
    }
    await settle(4);
    assert.equal(manifest.entry(membershipKey(slug, path))?.state, 'deleted');
    assert.equal(await vectors.count(slug, never), 0, 'a ghost');
  });
