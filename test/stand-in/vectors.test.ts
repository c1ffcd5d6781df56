import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createFakeChroma } from '@docbus/replica/chroma-fake.ts';
import { startChroma, type ChromaServer } from '../servers/chroma.ts';
import { openAppVectors } from './vectors-chroma.ts';
import { openFakeAppVectors } from './vectors-fake.ts';
import type { AppVectors, Submission } from './vectors.ts';

function one(id: string, embedding: number[], metadata: Record<string, unknown> = { title: 'T' }, document = `text of ${id}`): Submission {
  return { ids: [id], embeddings: [embedding], metadatas: [metadata], documents: [document] };
}

/** What every driver does; the fake must not drift from the server. */
function appVectorsSuite(name: string, open: () => AppVectors): void {
  suite(name, () => {
    test('a collection is made once, found by name, and gone when deleted', async () => {
      const vectors = open();
      await vectors.heartbeat();
      await assert.rejects(vectors.get('suite-once'));
      const made = await vectors.getOrCreate('suite-once');
      assert.deepEqual(await vectors.getOrCreate('suite-once'), made);
      assert.deepEqual(await vectors.get('suite-once'), made);
      await vectors.deleteCollection('suite-once');
      await assert.rejects(vectors.get('suite-once'));
      await assert.rejects(vectors.deleteCollection('suite-once'));
    });

    test('vectors are added, counted, found nearest first, and removed; absent ids are fine', async () => {
      const vectors = open();
      const collection = await vectors.getOrCreate('suite-vectors');
      await vectors.add(collection, one('east', [1, 0]));
      await vectors.add(collection, one('north', [0, 2], { title: 'N', gone: undefined }));
      await vectors.add(collection, one('north-east', [1, 1]));
      assert.equal(await vectors.count(collection), 3);
      const found = await vectors.query(collection, [3, 0.1], 2);
      assert.deepEqual(
        found.map(({ id, text }) => [id, text]),
        [
          ['east', 'text of east'],
          ['north-east', 'text of north-east'],
        ],
      );
      assert.ok((found[0]?.distance ?? 1) < 0.001);
      await vectors.delete(collection, ['east', 'nobody']);
      const rest = (await vectors.all(collection)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
      assert.deepEqual(
        rest.map(({ id, metadata }) => [id, metadata]),
        [
          ['north', { title: 'N' }],
          ['north-east', { title: 'T' }],
        ],
      );
      assert.equal(rest[0]?.values.length, 2);
    });

    test('an id that is there is left as it is', async () => {
      const vectors = open();
      const collection = await vectors.getOrCreate('suite-twice');
      await vectors.add(collection, one('a', [1, 0]));
      await vectors.add(collection, one('a', [0, 1], { title: 'other' }, 'other'));
      assert.equal((await vectors.all(collection))[0]?.text, 'text of a');
    });

    test('a collection that was dropped and made anew is another one', async () => {
      const vectors = open();
      const old = await vectors.getOrCreate('suite-anew');
      await vectors.add(old, one('a', [1, 0]));
      await vectors.deleteCollection('suite-anew');
      const renewed = await vectors.getOrCreate('suite-anew');
      await assert.rejects(vectors.add(old, one('a', [1, 0])));
      await assert.rejects(vectors.count(old));
      await assert.rejects(vectors.delete(old, ['a']));
      assert.equal(await vectors.count(renewed), 0);
    });

    test('what Chroma refuses is refused', async () => {
      const vectors = open();
      const collection = await vectors.getOrCreate('suite-refused');
      await vectors.add(collection, one('a', [1, 0]));
      await assert.rejects(vectors.add(collection, one('b', [1, 0, 0])), 'another dimension');
      await assert.rejects(vectors.add(collection, one('b', [1, 0], { description: null })), 'null in metadata');
      await assert.rejects(vectors.add(collection, one('b', [1, 0], { extra: { nested: true } })), 'nested metadata');
      await assert.rejects(vectors.add(collection, one('b', [1, 0], {}, '\ud83d')), 'half an emoji');
      await assert.rejects(vectors.getOrCreate('ends-badly_'), 'a name that ends badly');
      await assert.rejects(vectors.getOrCreate('ab'), 'a short name');
      assert.equal(await vectors.count(collection), 1);
      const names = (await vectors.collections()).map((each) => each.name);
      assert.equal(names.includes('suite-refused'), true);
    });
  });
}

const directory = mkdtempSync(join(tmpdir(), 'docbus-app-vectors-'));
let server: ChromaServer;
before(async () => {
  server = await startChroma({ directory: join(directory, 'chroma') });
});
after(async () => {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});
const fake = createFakeChroma();

appVectorsSuite('a real Chroma', () => openAppVectors(server.url));
appVectorsSuite('a Chroma in memory', () => openFakeAppVectors(fake));

test('a Chroma in memory that is down does not answer', async () => {
  const chroma = createFakeChroma();
  const vectors = openFakeAppVectors(chroma);
  chroma.up = false;
  await assert.rejects(vectors.heartbeat());
  await assert.rejects(vectors.get('any'));
  chroma.up = true;
  await vectors.heartbeat();
});
