import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DocbusError, isDocbusError, type ErrorCode } from '@docbus/core';
import { createApp, requireToken, serveHttp } from './http.ts';
import { silentLogger } from './logger.ts';

const host = '127.0.0.1';
const never = new AbortController().signal;

async function post(app: ReturnType<typeof createApp>, headers: Record<string, string> = {}) {
  const response = await app.request('/change', { method: 'POST', headers });
  return { status: response.status, body: (await response.json()) as { error?: { code: string } } };
}

function guarded(token: string | undefined) {
  const app = createApp(silentLogger);
  app.post('/change', requireToken(token), (context) => context.json({ changed: true }));
  return app;
}

test('a change with the right token passes', async () => {
  assert.equal((await post(guarded('hush'), { authorization: 'Bearer hush' })).status, 200);
});

test('a change with a wrong or missing token is refused', async () => {
  for (const headers of [
    {},
    { authorization: 'Bearer hus' },
    { authorization: 'hush' },
    { authorization: 'Basic hush' },
    { authorization: 'Bearer ' },
  ])
    assert.deepEqual(
      await post(guarded('hush'), headers as Record<string, string>).then(({ status, body }) => [status, body.error?.code]),
      [401, 'token_wrong'],
    );
});

test('where no token is configured every change is refused', async () => {
  for (const headers of [{}, { authorization: 'Bearer undefined' }, { authorization: 'Bearer ' }]) {
    const { status, body } = await post(guarded(undefined), headers);
    assert.deepEqual([status, body.error?.code], [403, 'token_not_set']);
  }
});

test('failures answer with their code and a fitting status', async () => {
  const app = createApp(silentLogger);
  app.get('/:code', (context) => {
    const code = context.req.param('code');
    throw code === 'bug' ? new TypeError('secret detail') : new DocbusError(code as ErrorCode, 'words');
  });
  const answers = await Promise.all(
    ['log_unreachable', 'storage_missing', 'config_invalid', 'bug'].map(async (path) => {
      const response = await app.request(`/${path}`);
      return [response.status, (await response.text()).replace(/.*"code":"(\w+)".*/, '$1')];
    }),
  );
  assert.deepEqual(answers, [
    [503, 'log_unreachable'],
    [409, 'storage_missing'],
    [400, 'config_invalid'],
    [500, 'internal'],
  ]);
});

test('an unknown path answers 404 in the same form', async () => {
  const response = await createApp(silentLogger).request('/nowhere');
  assert.equal(response.status, 404);
  assert.equal(((await response.json()) as { error: { code: string } }).error.code, 'not_found');
});

test('a server answers on the port that it reports and is gone after its scope', async () => {
  let url = '';
  {
    const app = createApp(silentLogger);
    app.get('/', (context) => context.text('here'));
    await using server = await serveHttp(app, { host, port: 0 }, never);
    url = `http://${host}:${server.port}/`;
    assert.equal(await (await fetch(url)).text(), 'here');
  }
  await assert.rejects(fetch(url));
});

test('a port in use is a wrong setting, and the message names it', async () => {
  await using server = await serveHttp(createApp(silentLogger), { host, port: 0 }, never);
  const again = serveHttp(createApp(silentLogger), { host, port: server.port, setting: 'DOCBUS_HTTP' }, never);
  await assert.rejects(again, (error) => isDocbusError(error, 'config_invalid') && error.message.includes('DOCBUS_HTTP'));
});

test('a server that stops does not wait for an endless answer', async () => {
  const app = createApp(silentLogger);
  app.get('/', () => new Response(new ReadableStream({ start: (stream) => stream.enqueue(new TextEncoder().encode('first')) })));
  const server = await serveHttp(app, { host, port: 0 }, never);
  const response = await fetch(`http://${host}:${server.port}/`);
  const reader = response.body?.getReader();
  await reader?.read();
  await server[Symbol.asyncDispose]();
  await assert.rejects(async () => await reader?.read());
});
