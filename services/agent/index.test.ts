import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
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
    DOCBUS_LOG: 'memory:',
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
