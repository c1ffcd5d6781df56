import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDocbusError } from '@docbus/core';
import { systemClock } from '@docbus/runtime';
import { openLog } from './open.ts';

const never = new AbortController().signal;
const options = { replica: 'a', clock: systemClock };

test('sqlite: opens a file by its path, with two spellings', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-log-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'log 100%?.db');
  await using log = await openLog(`sqlite:${path}`, options, never);
  await using same = await openLog(`sqlite://${path}`, options, never);
  assert.equal(log.name, `sqlite:${path}`);
  assert.equal(await same.identity(never), await log.identity(never));
});

test('a URL that names no log is config_invalid, with an example and without its password', async () => {
  for (const [url, words] of [
    ['', /sqlite:\/var/],
    ['redis://localhost', /kafka:\/\/.*amqp:\/\/.*sqlite:/],
    ['/var/lib/log.db', /sqlite:\/var/],
    ['sqlite:log.db', /absolute path.*sqlite:\/var\/lib\/docbus\/log\.db/],
    ['sqlite:', /absolute/],
    ['sqlite://server/log.db', /absolute/],
    ['memory:', /kafka:\/\/.*amqp:\/\/.*sqlite:/],
    ['kafka://b:9092', /no Kafka topic/],
    ['kafka://u:secret@b:99999/docs', /port/],
    ['amqp://u:secret@b:xx', /host:port/],
    ['amqp://u:secret@b/?strem=x', /unknown setting strem/],
    ['http://user:secret@host/', /\*\*\*@host/],
  ] as const)
    await assert.rejects(
      openLog(url, options, never),
      (error) => isDocbusError(error, 'config_invalid') && words.test(error.message) && !error.message.includes('secret'),
      url,
    );
});
