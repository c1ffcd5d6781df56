// docbus copy among real agents: a log is backed up, lost and restored, and two sites are joined by two bridges.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { main } from '@docbus/cli/main.ts';
import { waitFor } from '../servers/process.ts';
import { startCluster, type Cluster } from './cluster.ts';
import type { E2eReplica } from './replica.ts';
import { textAbout } from './texts.ts';

const secret = 'the-secret-of-the-backup-the-secret-of';
const WAIT = { deadlineMs: 20_000 };

async function copy(args: readonly string[], signal: AbortSignal = new AbortController().signal): Promise<string> {
  const lines: string[] = [];
  const code = await main(['copy', ...args], { environment: {}, print: (text) => lines.push(text), signal });
  assert.equal(code ?? 0, 0, lines.join('\n'));
  return lines.join('\n');
}

async function add(replica: E2eReplica, title: string, sentences = 30): Promise<string> {
  const path = await replica.app.addRawText({ title, text: textAbout(title, sentences) });
  await replica.app.embed('island', path);
  return path;
}

const memberships = (count: number) => ({ when: ({ present }: { present: { membership: number } }) => present.membership === count });

function loseLog(cluster: Cluster): void {
  for (const suffix of ['', '-wal', '-shm', '-hint']) rmSync(`${cluster.log.slice('sqlite:'.length)}${suffix}`, { force: true });
}

suite('a log that is copied', () => {
  test('is restored from its sealed backup, for replicas that live on and for replicas that lost everything', async (t) => {
    const cluster = await startCluster();
    t.after(async () => await cluster[Symbol.asyncDispose]());
    const [a, b, c] = cluster.replicas as [E2eReplica, E2eReplica, E2eReplica];
    const key = join(cluster.directory, 'backup.key');
    writeFileSync(key, `${secret}\n`);
    const backup = `sqlite:${join(cluster.directory, 'backup.db')}`;
    const backUp = async (): Promise<string> => await copy(['--from', cluster.log, '--to', backup, '--to-secret-file', key]);
    const restore = async (): Promise<string> => await copy(['--from', backup, '--from-secret-file', key, '--to', cluster.log]);

    await a.app.createWorkspace('Island', { openAiPrompt: 'Answer in verse.' });
    await cluster.converged({ when: ({ present }) => present.workspace === 1 });
    await add(a, 'the ferry', 400);
    const gone = await add(b, 'the bees');
    await cluster.converged(memberships(2));
    assert.match(await backUp(), /^Copied 7 changes/m);
    assert.match(await backUp(), /^Copied 0 changes .* 7 were in /m);

    // A replica and the log are lost. What the others did since the backup is theirs to tell.
    await b.app.unembed('island', gone);
    await add(a, 'the orchard');
    await cluster.converged({ when: ({ present }) => present.membership === 2 && present.document === 3 });
    for (const replica of cluster.replicas) await replica.stopAgent();
    loseLog(cluster);
    await c.destroy();
    await restore();
    await cluster.startAgents();
    await cluster.converged({ when: ({ present }) => present.membership === 2 && present.document === 3 });

    // Everything is lost but the backup.
    await backUp();
    for (const replica of cluster.replicas) {
      await replica.stopAgent();
      await replica.destroy();
    }
    loseLog(cluster);
    await restore();
    await cluster.startAgents();
    await cluster.converged({ when: ({ present }) => present.membership === 2 && present.document === 3 });
    assert.equal((await c.app.inspect()).workspaces.get('island')?.openAiPrompt, 'Answer in verse.');
    assert.ok((await c.app.query('island', 'the orchard', 3)).length > 0);
  });

  test('joins two sites by two bridges: both have everything, and nothing goes round', async (t) => {
    const east = await startSite(t, 'east-1');
    const west = await startSite(t, 'west-1');
    const [e] = east.replicas as [E2eReplica];
    const [w] = west.replicas as [E2eReplica];
    const both = [e, w];
    await e.app.createWorkspace('Island');
    await add(e, 'the ferry', 400);
    await east.converged(memberships(1));

    const stop = new AbortController();
    const bridges = [
      copy(['--from', east.log, '--to', west.log, '--follow'], stop.signal),
      copy(['--from', west.log, '--to', east.log, '--follow'], stop.signal),
    ];
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => {
      stop.abort();
      await Promise.all(bridges);
    });
    await east.converged({ among: both, ...memberships(1) });
    const paths = [await add(w, 'the bees', 400), await add(e, 'the printer')];
    await east.converged({ among: both, ...memberships(3) });
    await w.app.unembed('island', paths[1] ?? '');
    await e.app.updateWorkspace('island', { name: 'The Island' });
    await waitFor('the new name in the west', async () => (await w.app.inspect()).workspaces.get('island')?.name === 'The Island', WAIT);
    await east.converged({ among: both, ...memberships(2) });

    const lengths = async (): Promise<readonly number[]> =>
      await Promise.all([east, west].map(async (site) => (await site.recordsAfter(undefined)).length));
    const before = await lengths();
    const ends = await Promise.all([east.logEnd(), west.logEnd()]);
    // One more change goes over: whatever else was on its way went before it.
    await e.app.updateWorkspace('island', { name: 'Island' });
    await waitFor('the last name in the west', async () => (await w.app.inspect()).workspaces.get('island')?.name === 'Island', WAIT);
    assert.deepEqual(await Promise.all([east.keysAfter(ends[0]), west.keysAfter(ends[1])]), [['workspace/island'], ['workspace/island']]);
    assert.deepEqual(await lengths(), before);
  });
});

async function startSite(t: TestContext, replica: string): Promise<Cluster> {
  const site = await startCluster({ replicas: 1, env: { DOCBUS_REPLICA: replica } });
  t.after(async () => await site[Symbol.asyncDispose]());
  return site;
}
