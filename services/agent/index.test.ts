import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger, systemClock } from '@docbus/runtime';
import { readAgentConfig } from './config.ts';
import { runAgent } from './index.ts';

test('an agent that is asked to stop while it waits for its storage ends for that reason, and has made nothing there', async (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-agent-'));
  t.after(() => rmSync(place, { recursive: true }));
  const storageDir = join(place, 'not-mounted');
  const config = readAgentConfig({
    DOCBUS_LOG: `sqlite:${join(place, 'log.db')}`,
    DOCBUS_REPLICA: 'a',
    DOCBUS_STORAGE_DIR: storageDir,
    DOCBUS_HTTP: '127.0.0.1:0',
  });
  const stop = new AbortController();
  const asked = new Error('asked to stop');
  const logger = { ...silentLogger, error: () => queueMicrotask(() => stop.abort(asked)) };
  await assert.rejects(runAgent(config, { signal: stop.signal, logger, clock: systemClock }), (error) => error === asked);
  assert.equal(existsSync(storageDir), false);
});

test('an agent that is started before its storage is there answers, and goes on when it comes', async (t) => {
  const place = mkdtempSync(join(tmpdir(), 'docbus-agent-'));
  t.after(() => rmSync(place, { recursive: true }));
  const storageDir = join(place, 'storage');
  const port = await freePort();
  const config = readAgentConfig({
    DOCBUS_LOG: `sqlite:${join(place, 'log.db')}`,
    DOCBUS_REPLICA: 'a',
    DOCBUS_STORAGE_DIR: storageDir,
    DOCBUS_HTTP: `127.0.0.1:${port}`,
    CHROMA_ENDPOINT: 'http://127.0.0.1:1',
  });
  const stop = new AbortController();
  const running = runAgent(config, { signal: stop.signal, logger: silentLogger, clock: systemClock });
  const until = async (path: string, isIt: (status: number, text: string) => boolean): Promise<void> => {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined); // not listening yet
      if (answer !== undefined && isIt(answer.status, await answer.text())) return;
      await systemClock.sleep(20, t.signal);
    }
  };
  try {
    await until('/livez', (status) => status === 200);
    await until('/readyz', (status, text) => status === 503 && text.includes('start AnythingLLM'));
    assert.equal(existsSync(storageDir), false);
    mkdirSync(storageDir);
    await until('/readyz', (status, text) => status === 503 && text.includes('anythingllm.db'));
    await until('/livez', (status) => status === 200);
  } finally {
    stop.abort();
    await running.catch(() => undefined);
  }
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
