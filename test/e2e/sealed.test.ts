// A sealed log among real agents: what one of them seals with a wrong secret, or not at all, stops nobody, and is made good by itself
// once it has the right one. The tests share one cluster and go on from each other's state.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { quarantineSchema } from '@docbus/agent/api.ts';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const right = 'the-right-secret-the-right-secret-the';
const wrong = 'the-wrong-secret-the-wrong-secret-the';
const next = 'the-next-secret-the-next-secret-the-n';
const WAIT = { deadlineMs: 20_000 };

suite('a sealed log', () => {
  let cluster: Cluster;
  let a: E2eReplica;
  let b: E2eReplica;
  let c: E2eReplica;
  let documents = 0;

  const add = async (replica: E2eReplica, title: string, sentences = 20): Promise<string> => {
    documents += 1;
    return await replica.app.addRawText({ title, text: textAbout(title, sentences) });
  };
  const restart = async (replica: E2eReplica, secret: string | undefined): Promise<void> => {
    await replica.stopAgent();
    await replica.startAgent({ DOCBUS_SECRET: secret });
  };
  const quarantine = async (replica: E2eReplica) => quarantineSchema.parse((await replica.get('/quarantine')).body).quarantine;
  const refusals = async (replica: E2eReplica, author: E2eReplica): Promise<readonly string[]> =>
    (await quarantine(replica)).filter(({ message }) => message.includes(`The replica ${author.name} `)).map(({ code }) => code);
  const allConverged = async (): Promise<void> =>
    await cluster.converged({ when: ({ present }) => present.document === documents && present.membership === documents });

  before(async () => {
    cluster = await startCluster({ env: { DOCBUS_SECRET: right } });
    [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
    await a.app.createWorkspace('Island');
    await a.app.embed('island', await add(a, 'the ferry', 400));
    await allConverged();
    for (const title of ['the map', 'the valves', 'the timetable']) await c.app.embed('island', await add(c, title));
    await allConverged();
  });
  after(async () => await cluster?.[Symbol.asyncDispose]());

  test('tells whoever looks into it neither names nor content', async () => {
    const file = cluster.log.slice('sqlite:'.length);
    const seen = ['', '-wal'].map((suffix) => readFileSync(`${file}${suffix}`).toString('latin1')).join('');
    for (const word of ['ferry', 'custom-documents', 'island', 'cloudevents', 'document/', 'embedding/'])
      assert.ok(!seen.includes(word), word);
    assert.ok(seen.includes('docbus-replica'));
    assert.ok((await cluster.recordsAfter(undefined)).length >= 4);
  });

  for (const [what, secret] of [
    ['a wrong secret', wrong],
    ['no secret', undefined],
  ] as const)
    test(`with ${what} on one replica its records are quarantined, and the others' on it, and nothing else stops`, async () => {
      const end = await cluster.logEnd();
      await restart(c, secret);
      await a.app.embed('island', await add(a, `the bees, ${what}`));
      await cluster.converged({ among: [a, b], when: ({ present }) => present.membership === documents });
      await c.app.embed('island', await add(c, `the printer, ${what}`));
      await waitFor('the first replica to refuse what the third appends', async () => (await refusals(a, c)).length >= 2, WAIT);
      await waitFor('the second replica to refuse it', async () => (await refusals(b, c)).length >= 2, WAIT);
      await waitFor('the third replica to refuse what the first appends', async () => (await refusals(c, a)).length >= 2, WAIT);
      for (const items of await Promise.all([quarantine(a), quarantine(b), quarantine(c)]))
        for (const { code, message } of items) {
          assert.equal(code, 'record_forged');
          assert.match(message, /DOCBUS_SECRET/);
        }
      await b.app.embed('island', await add(b, `the orchard, ${what}`));
      await cluster.converged({ among: [a, b], when: ({ present }) => present.membership === documents - 1 });
      const appended = (await cluster.recordsAfter(end)).length;
      assert.ok(
        appended <= 3 * 4,
        `${appended} records for three documents: a replica with other secrets must not append what it knows again`,
      );

      await restart(c, right);
      await allConverged();
      for (const replica of [a, b]) assert.equal((await replica.post('/quarantine/drop')).status, 200);
      assert.deepEqual(await quarantine(a), []);
    });

  test('refuses what a stranger appends; a retry reads it again, and it can be forgotten', async () => {
    await cluster.append({ key: 'document/custom-documents/x.json', value: Buffer.from('{"source":"/docbus/stranger"}'), headers: {} });
    const byStranger = async () => (await quarantine(a)).find(({ message }) => message.includes('stranger'));
    await waitFor('the record in quarantine', async () => (await byStranger()) !== undefined, WAIT);
    const since = (await byStranger())?.time ?? Infinity;
    assert.deepEqual((await a.post('/quarantine/retry')).body, { done: 1 });
    await waitFor('the record in quarantine again', async () => ((await byStranger())?.time ?? 0) > since, WAIT);
    await allConverged();
    assert.deepEqual((await a.post('/quarantine/drop', { ids: [(await byStranger())?.id] })).body, { done: 1 });
    assert.equal(await byStranger(), undefined);
    for (const replica of [a, b]) await replica.post('/quarantine/drop');
  });

  test('takes another secret without a pause: first all learn it, then all seal with it', async () => {
    for (const replica of [a, b, c]) await restart(replica, `${right},${next}`);
    await restart(a, `${next},${right}`);
    await a.app.embed('island', await add(a, 'the archive'));
    await b.app.embed('island', await add(b, 'the harbour master'));
    await allConverged();
    for (const replica of [a, b]) assert.deepEqual(await quarantine(replica), []);
    for (const replica of [b, c]) await restart(replica, `${next},${right}`);
    await c.app.embed('island', await add(c, 'the lighthouse'));
    await allConverged();
    for (const replica of [a, b]) assert.deepEqual(await quarantine(replica), []);
  });
});
