// Everything AnythingLLM does on one replica, seen on the others: three agent processes, three real Chroma servers, one log.
// The tests share one cluster and go on from each other's state, as a day of use does.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const DAY_MS = 86_400_000;

suite('what AnythingLLM does on one replica happens on all', () => {
  let cluster: Cluster;
  let a: E2eReplica;
  let b: E2eReplica;
  let c: E2eReplica;
  /** made by the tests as they go */
  const paths: Record<string, string> = {};

  before(async () => {
    cluster = await startCluster({ controlled: true });
    [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
    await cluster.converged();
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('a document added on one replica is on all of them, byte for byte', async () => {
    paths['ferry'] = await a.app.addRawText({ title: 'Ferry', text: textAbout('the ferry', 40) });
    await cluster.converged({ when: ({ present }) => present.document === 1 });
  });

  test('a workspace created on one replica and filled on another is the same everywhere, without embedding twice', async () => {
    const slug = await b.app.createWorkspace('Island', { topN: 6 });
    assert.equal(slug, 'island');
    await cluster.converged({ when: ({ present }) => present.workspace === 1 });
    const { embedded } = await b.app.embed('island', paths['ferry']!);
    assert.deepEqual(embedded, [paths['ferry']]);
    await cluster.converged({ when: ({ present }) => present.membership === 1 && present.embedding === 1 });
    assert.equal(a.embedder.calls.requests + c.embedder.calls.requests, 0);
    assert.equal(b.embedder.calls.requests, 1);
  });

  test('a document held by several workspaces is found in each of them on each replica', async () => {
    await c.app.createWorkspace('Harbour');
    await c.app.embed('harbour', paths['ferry']!);
    await cluster.converged({ when: ({ present }) => present.membership === 2 });
    assert.equal(c.embedder.calls.requests, 0, 'the cache that the agent wrote serves the next embed');
    for (const { app } of cluster.replicas) assert.ok((await app.query('harbour', 'ferry timetable')).length > 0);
  });

  test('a document embedded twice in one workspace is there twice everywhere, and one removal takes one copy', async () => {
    await a.app.embed('island', paths['ferry']!);
    const copies = async (replica: E2eReplica): Promise<number | undefined> =>
      (await replica.app.inspect()).memberships.get(`island/${paths['ferry']}`)?.length;
    await waitFor('both copies on the third replica', async () => (await copies(c)) === 2, { deadlineMs: 20_000 });
    await cluster.converged();
    await c.app.unembed('island', paths['ferry']!);
    await waitFor('one copy on the first replica', async () => (await copies(a)) === 1, { deadlineMs: 20_000 });
    await cluster.converged();
  });

  test('a document pinned on one replica is pinned on all, and unpinned again', async () => {
    const pinned = async (replica: E2eReplica): Promise<boolean | undefined> =>
      (await replica.app.inspect()).memberships.get(`island/${paths['ferry']}`)?.[0]?.pinned;
    await c.app.pin('island', paths['ferry']!);
    await waitFor('the pin on the first replica', async () => (await pinned(a)) === true, { deadlineMs: 20_000 });
    await cluster.converged();
    await b.app.unpin('island', paths['ferry']!);
    await waitFor('no pin on the first replica', async () => (await pinned(a)) === false, { deadlineMs: 20_000 });
    await cluster.converged();
  });

  test('a workspace renamed, and one whose settings were changed, are so on all replicas', async () => {
    await a.app.updateWorkspace('island', { name: 'The Island', similarityThreshold: 0.5, openAiPrompt: 'Answer in verse.' });
    await b.app.updateWorkspace('harbour', { chatMode: 'query', queryRefusalResponse: 'Ask the harbour master.', openAiTemp: 0.3 });
    await waitFor(
      'the new name on the third replica',
      async () => (await c.app.inspect()).workspaces.get('island')?.name === 'The Island',
      { deadlineMs: 20_000 },
    );
    await cluster.converged();
    const { workspaces } = await c.app.inspect();
    assert.equal(workspaces.get('harbour')?.queryRefusalResponse, 'Ask the harbour master.');
    assert.equal(workspaces.get('island')?.openAiPrompt, 'Answer in verse.');
  });

  test('a document imported again in place is replaced on all, and nowhere does its stale cache survive it', async () => {
    const page = { folder: 'wiki', host: 'wiki.example.org', page: 'handbook.17', title: 'Handbook' };
    paths['page'] = await a.app.importPage({ ...page, text: textAbout('the first edition', 30) });
    await a.app.embed('island', paths['page']);
    await cluster.converged({ when: ({ present }) => present.document === 2 && present.embedding === 2 });
    for (const { name, app } of cluster.replicas) assert.ok((await app.inspect()).caches.has(paths['page']), `${name} would embed it anew`);
    await a.app.importPage({ ...page, text: textAbout('the second edition', 50) });
    await waitFor(
      'the second edition on the third replica',
      async () => (await c.app.inspect()).documents.get(paths['page']!)?.includes('the second edition') === true,
      { deadlineMs: 20_000 },
    );
    await cluster.converged();
    // Embedding it anew on another replica must not find vectors of the first edition.
    await c.app.unembed('island', paths['page']);
    await cluster.converged({ when: ({ present }) => present.membership === 2 });
    await c.app.embed('island', paths['page']);
    await cluster.converged({ when: ({ present }) => present.membership === 3 });
    const [best] = await b.app.query('island', 'the second edition', 1);
    assert.match(best?.text ?? '', /second edition/);
    for (const { app } of cluster.replicas)
      assert.ok(
        ((await app.inspect()).collections.get('island') ?? []).every(({ text }) => text?.includes('first edition') !== true),
        'no chunk of the first edition is left',
      );
  });

  test('a watched source that was fetched again has its new file, cache and vectors on all replicas under the same docId', async () => {
    paths['link'] = await a.app.uploadLink({ url: 'https://example.org/tides', text: textAbout('the tides of March', 20) });
    await a.app.embed('island', paths['link']);
    await a.app.embed('harbour', paths['link']);
    await a.app.watch('island', paths['link']);
    await cluster.converged({ when: ({ present }) => present.membership === 5 });
    const docIds = async (replica: E2eReplica): Promise<unknown> =>
      (await replica.app.inspect()).memberships.get(`island/${paths['link']}`)?.map(({ docId }) => docId);
    const old = await docIds(b);
    await a.app.resyncWatched({ fetch: () => textAbout('the tides of April', 25), until: Date.now() + 30 * DAY_MS });
    await waitFor(
      'the new text in both collections of the third replica',
      async () =>
        (await Promise.all(['island', 'harbour'].map((slug) => c.app.query(slug, 'the tides of April', 1)))).every(([best]) =>
          best?.text?.includes('tides of April'),
        ),
      { deadlineMs: 30_000 },
    );
    await cluster.converged();
    assert.deepEqual(await docIds(b), old);
    for (const { app } of cluster.replicas)
      for (const slug of ['island', 'harbour'])
        assert.ok(
          ((await app.inspect()).collections.get(slug) ?? []).every(({ text }) => text?.includes('tides of March') !== true),
          'no chunk of the old text is left',
        );
    const watched = async (replica: E2eReplica): Promise<unknown> =>
      (await replica.app.inspect()).memberships.get(`island/${paths['link']}`)?.map((copy) => copy.watched);
    assert.deepEqual([await watched(a), await watched(b), await watched(c)], [[true], [false], [false]], 'only its own replica fetches it');
  });

  test('a vector-cache wiped by a settings save deletes nothing anywhere, and the next embed still works', async () => {
    const end = await cluster.logEnd();
    const sweeps = a.control.sweeps();
    await a.app.saveChunkSettings({ size: 800, overlap: 40 });
    await waitFor('two sweeps of the replica whose cache is gone', () => a.control.sweeps() >= sweeps + 2, { deadlineMs: 20_000 });
    await cluster.converged({ when: ({ present }) => present.embedding === 3 && present.membership === 5 });
    assert.deepEqual(await cluster.keysAfter(end), [], 'nothing was published');
    assert.ok((await b.app.inspect()).caches.size >= 3);
    await a.app.unembed('harbour', paths['ferry']!);
    await a.app.embed('harbour', paths['ferry']!);
    await cluster.converged({ when: ({ present }) => present.membership === 5 });
  });

  test('a document moved to another folder is in its new place only', async () => {
    const from = await b.app.addRawText({ title: 'Minutes', text: textAbout('the minutes', 10) });
    await cluster.converged({ when: ({ present }) => present.document === 4 });
    await b.app.createFolder('minutes');
    const to = from.replace('custom-documents/', 'minutes/');
    assert.deepEqual(await b.app.moveFiles({ from, to }), [to]);
    await waitFor(
      'the new place on the first replica',
      async () => {
        const { documents } = await a.app.inspect();
        return documents.has(to) && !documents.has(from);
      },
      { deadlineMs: 20_000 },
    );
    await cluster.converged({ when: ({ present }) => present.document === 4 });
    paths['minutes'] = to;
  });

  test('a document uploaded straight into a folder arrives there', async () => {
    const path = await c.app.upload({
      name: 'Report.txt',
      text: textAbout('the report', 30),
      folder: 'reports',
      addToWorkspaces: ['harbour'],
    });
    assert.match(path, /^reports\//);
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.membership === 6 });
    paths['report'] = path;
  });

  test('a document taken out of one workspace stays in the others', async () => {
    await b.app.unembed('island', paths['ferry']!);
    await cluster.converged({ when: ({ present }) => present.membership === 5 });
    for (const { app } of cluster.replicas) {
      const { memberships } = await app.inspect();
      assert.deepEqual([memberships.has(`island/${paths['ferry']}`), memberships.has(`harbour/${paths['ferry']}`)], [false, true]);
    }
  });

  test('a document deleted for good leaves no file, no cache, no row and no vector anywhere', async () => {
    await c.app.removeDocument(paths['ferry']!);
    await cluster.converged({ when: ({ present }) => present.document === 4 && present.membership === 4 });
    for (const { app } of cluster.replicas) {
      const { documents, caches, memberships } = await app.inspect();
      assert.ok(!documents.has(paths['ferry']!));
      assert.ok(!caches.has(paths['ferry']!));
      assert.ok(!memberships.has(`harbour/${paths['ferry']}`));
    }
  });

  test('a folder removed with its documents is gone from all replicas', async () => {
    await a.app.removeFolder('reports');
    await cluster.converged({ when: ({ present }) => present.document === 3 && present.membership === 3 });
  });

  test('a workspace deleted on one replica is gone with its vectors on all, its documents stay', async () => {
    await b.app.deleteWorkspace('harbour');
    await cluster.converged({ when: ({ present }) => present.workspace === 1 && present.membership === 2 && present.document === 3 });
    for (const { app } of cluster.replicas) assert.ok(!(await app.inspect()).collections.has('harbour'));
  });

  test('a workspace created again under the slug of a deleted one is empty and new', async () => {
    await c.app.createWorkspace('Harbour');
    await cluster.converged({ when: ({ present }) => present.workspace === 2 && present.membership === 2 });
    await c.app.embed('harbour', paths['minutes']!);
    await cluster.converged({ when: ({ present }) => present.membership === 3 });
  });

  test('edits of all replicas at the same time come together', async () => {
    const made = await Promise.all(
      cluster.replicas.map(async ({ app, name }) => {
        const path = await app.addRawText({ title: `Notes of ${name}`, text: textAbout(`the notes of ${name}`, 25) });
        await app.embed('island', path);
        return path;
      }),
    );
    await cluster.converged({ when: ({ present }) => present.document === 6 && present.membership === 6 });
    await Promise.all([a.app.pin('island', made[1]!), b.app.removeDocument(made[2]!), c.app.unembed('island', made[0]!)]);
    await cluster.converged({ when: ({ present }) => present.document === 5 && present.membership === 4 });
  });

  test('two workspaces created under one name on two replicas at once are one workspace', async () => {
    await Promise.all([a.holdAgent(), b.holdAgent()]);
    const [one, two] = await Promise.all([a.app.createWorkspace('Twins', { topN: 3 }), b.app.createWorkspace('Twins', { topN: 9 })]);
    assert.equal(one, two);
    a.control.release();
    b.control.release();
    await cluster.converged({ when: ({ present }) => present.workspace === 3 });
    const conflicts = (await Promise.all(cluster.replicas.map((replica) => replica.status()))).map((status) => status.conflicts);
    assert.ok(
      conflicts.some((count) => count > 0),
      'the settings that lost are kept as a conflict',
    );
  });

  test('when nobody edits, the log does not grow', async () => {
    await cluster.converged();
    const end = await cluster.logEnd();
    const sweeps = cluster.replicas.map(({ control }) => control.sweeps());
    await waitFor(
      'three sweeps of every agent',
      () => cluster.replicas.every(({ control }, i) => control.sweeps() >= (sweeps[i] ?? 0) + 3),
      {
        deadlineMs: 60_000,
      },
    );
    assert.deepEqual(await cluster.keysAfter(end), []);
    await cluster.converged();
  });
});
