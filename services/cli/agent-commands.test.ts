import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '@docbus/agent/api.ts';
import { isDocbusError, type ErrorCode } from '@docbus/core';
import { createApp, requireToken, serveHttp, silentLogger, type Environment } from '@docbus/runtime';
import { main } from './main.ts';
import { judge } from './status.ts';

const never = new AbortController().signal;

const status: Status = {
  replica: 'a',
  version: '0.1.0',
  phase: 'following',
  ready: true,
  problems: [],
  lagRecords: 0,
  lagSeconds: 0,
  digest: 'd'.repeat(64),
  present: { document: 3, embedding: 2, workspace: 1, membership: 4 },
  chunks: 50,
  unpublished: 0,
  unapplied: 0,
  held: 0,
  quarantined: 0,
  conflicts: 0,
};

/** An HTTP server that answers as an agent does, and what was posted to it. */
async function serveAgent(answers: Readonly<Record<string, unknown>>, token?: string) {
  const app = createApp(silentLogger);
  const posts: { path: string; body: unknown }[] = [];
  for (const [path, answer] of Object.entries(answers)) app.get(path, (context) => context.json(answer as object));
  app.post('*', requireToken(token), async (context) => {
    posts.push({ path: context.req.path, body: await context.req.json() });
    return context.json({ done: 2 });
  });
  const server = await serveHttp(app, { host: '127.0.0.1', port: 0 }, never);
  return { url: `http://127.0.0.1:${server.port}`, posts, [Symbol.asyncDispose]: async () => await server[Symbol.asyncDispose]() };
}

async function run(args: readonly string[], environment: Environment = {}) {
  const lines: string[] = [];
  const code = await main(args, { environment, print: (text) => lines.push(text), signal: never });
  return { code: code ?? 0, text: lines.join('\n') };
}

const fails = (code: ErrorCode, words: RegExp) => (error: unknown) => isDocbusError(error, code) && words.test(error.message);

test('status shows a row per agent and that they are identical', async () => {
  await using a = await serveAgent({ '/status': status });
  await using b = await serveAgent({ '/status': { ...status, replica: 'b', unheardOf: true } });
  const { code, text } = await run(['status', a.url, b.url]);
  assert.equal(code, 0);
  assert.match(text, /^a +following +yes +3 +4 +50 +0 +0 +0 +0 +0 +dddddddddddd$/m);
  assert.match(text, /^b +following/m);
  assert.equal(text.split('\n').at(-1), '2 of 2 replicas identical');
});

test('status takes its agents from DOCBUS_AGENTS, else from DOCBUS_HTTP', async () => {
  await using a = await serveAgent({ '/status': status });
  await using b = await serveAgent({ '/status': { ...status, replica: 'b' } });
  assert.match((await run(['status'], { DOCBUS_AGENTS: `${a.url}, ${b.url}` })).text, /2 of 2 replicas identical$/);
  assert.match((await run(['status'], { DOCBUS_HTTP: a.url.slice('http://'.length) })).text, /1 of 1 replica identical$/);
});

test('an agent that does not answer is a row, and the exit code says so', async () => {
  await using a = await serveAgent({ '/status': status });
  const { code, text } = await run(['status', a.url, 'http://127.0.0.1:1']);
  assert.equal(code, 1);
  assert.match(text, /^http:\/\/127\.0\.0\.1:1 +no answer/m);
  assert.match(text, /No agent answers at http:\/\/127\.0\.0\.1:1\. Check/);
  assert.match(text, /Not identical: 1 not answering$/);
});

test('what is not an agent is said to be none', async () => {
  await using other = await serveAgent({ '/status': { hello: 'world' } });
  assert.match((await run(['status', other.url])).text, /is not an agent of this version of docbus/);
});

test('replicas are identical only with equal digests, no lag and nothing left to publish', () => {
  const verdict = (...statuses: Partial<Status>[]) => judge(statuses.map((more) => ({ agent: 'x', status: { ...status, ...more } })));
  assert.equal(verdict({}, {}).identical, true);
  for (const more of [{ digest: 'e' }, { lagRecords: 1 }, { lagRecords: null }, { unpublished: 1 }])
    assert.equal(verdict({}, more).identical, false, JSON.stringify(more));
  const unready = verdict({}, { replica: 'b', ready: false });
  assert.deepEqual([unready.identical, unready.good], [true, false]);
  assert.equal(unready.sentence, '2 of 2 replicas identical, as far as they know: b not ready');
});

test('held deletions wait for a person, and the sentence says with which command', () => {
  const say = (...statuses: Partial<Status>[]) =>
    judge(statuses.map((more) => ({ agent: 'http://x:1', status: { ...status, ...more } }))).sentence;
  assert.equal(
    say({}, { held: 2, unpublished: 2 }),
    'Not identical: a waits for a person, 2 deletions are held (docbus deletes --agent http://x:1)',
  );
  assert.match(say({}, { held: 1, unpublished: 2 }), /a still at work; a waits for a person, 1 deletion is held/);
});

test('of very many problems status prints the first, and how many more there are', async () => {
  const problems = Array.from({ length: 105 }, (_, i) => `f/${i}.json: the file is gone`);
  await using agent = await serveAgent({ '/status': { ...status, problems } });
  const { text } = await run(['status', agent.url]);
  assert.match(text, /a: f\/9\.json: the file is gone\na: and 95 more \(--json prints all of them\)/);
  assert.doesNotMatch(text, /f\/10\.json/);
});

test('held deletions are listed, approved by key and reverted together', async () => {
  const held = { key: 'document/a/b.json', reason: 'documents/ is missing', since: 0, approved: false };
  await using agent = await serveAgent({ '/deletes': { deletes: [held] } }, 'hush-hush');
  const token = { DOCBUS_TOKEN: 'hush-hush' };
  assert.match(
    (await run(['deletes', '--agent', agent.url])).text,
    /^document\/a\/b\.json +1970-01-01T00:00:00Z +documents\/ is missing$/m,
  );
  const approved = await run(['deletes', 'approve', held.key, '--agent', agent.url], token);
  assert.match(approved.text, /Approved 2 deletions.*\n1 still held: embedded documents/);
  await run(['deletes', 'revert', '--all', '--agent', agent.url], token);
  assert.deepEqual(agent.posts, [
    { path: '/deletes/approve', body: { keys: [held.key] } },
    { path: '/deletes/revert', body: {} },
  ]);
});

test('approving needs either keys or --all, never nothing', async () => {
  await assert.rejects(run(['deletes', 'approve']), fails('config_invalid', /either keys or --all/));
  await assert.rejects(run(['deletes', 'approve', 'k', '--all']), fails('config_invalid', /either keys or --all/));
  await assert.rejects(run(['quarantine', 'retry']), fails('config_invalid', /either ids or --all/));
});

test("the agent's own words reach the person when it refuses", async () => {
  await using agent = await serveAgent({}, 'hush-hush');
  await assert.rejects(run(['deletes', 'approve', '--all', '--agent', agent.url]), fails('agent_refused', /token is missing or wrong/));
});

test('quarantine is listed, retried and, where nobody can read it, dropped', async () => {
  const waiting = { id: 'q1', key: null, code: 'record_forged', message: 'cannot be opened', time: 0 };
  await using agent = await serveAgent({ '/quarantine': { quarantine: [waiting] } }, 'hush-hush');
  assert.match((await run(['quarantine', '--agent', agent.url])).text, /^q1 +- +1970-01-01T00:00:00Z +record_forged +cannot be opened$/m);
  await run(['quarantine', 'retry', 'q1', '--agent', agent.url], { DOCBUS_TOKEN: 'hush-hush' });
  const { text } = await run(['quarantine', 'drop', '--all', '--agent', agent.url], { DOCBUS_TOKEN: 'hush-hush' });
  assert.equal(text, 'Forgot 2 records.');
  assert.deepEqual(agent.posts, [
    { path: '/quarantine/retry', body: { ids: ['q1'] } },
    { path: '/quarantine/drop', body: {} },
  ]);
});

test('conflicts are listed with the file that keeps what lost', async () => {
  const conflict = { id: 'c1', key: 'document/a/b.json', winner: '2@a', loser: '2@b', file: '/state/conflicts/x', time: 0 };
  await using agent = await serveAgent({ '/conflicts': { conflicts: [conflict], total: 3 } });
  const { text } = await run(['conflicts', '--agent', agent.url]);
  assert.match(text, /^c1 +document\/a\/b\.json .*2@a +2@b +\/state\/conflicts\/x$/m);
  assert.match(text, /2 older ones are not shown; docbus conflicts --limit 3 shows all/);
  await assert.rejects(run(['conflicts', '--limit', '0']), fails('config_invalid', /at least 1, not 0/));
  await using quiet = await serveAgent({ '/conflicts': { conflicts: [], total: 0 } });
  assert.equal((await run(['conflicts', '--agent', quiet.url])).text, 'There are no conflicts.');
});

test('conflicts are dismissed by id or together; their files go only where that is asked for', async () => {
  await using agent = await serveAgent({}, 'hush-hush');
  const token = { DOCBUS_TOKEN: 'hush-hush' };
  assert.equal((await run(['conflicts', 'dismiss', 'c1', '--agent', agent.url], token)).text, 'Dismissed 2 conflicts.');
  await run(['conflicts', 'dismiss', '--all', '--delete-files', '--agent', agent.url], token);
  assert.deepEqual(agent.posts, [
    { path: '/conflicts/dismiss', body: { ids: ['c1'], files: false } },
    { path: '/conflicts/dismiss', body: { files: true } },
  ]);
  await assert.rejects(run(['conflicts', 'dismiss']), fails('config_invalid', /either ids or --all/));
});

test('an unreachable agent is named together with what to check', async () => {
  await assert.rejects(run(['conflicts', '--agent', 'http://127.0.0.1:1']), fails('agent_unreachable', /127\.0\.0\.1:1.*--agent/));
  await assert.rejects(run(['conflicts', '--agent', 'ftp://x']), fails('config_invalid', /ftp:\/\/x is not the address of an agent/));
});
