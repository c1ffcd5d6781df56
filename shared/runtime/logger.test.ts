import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DocbusError } from '@docbus/core';
import { createLogger, hidePasswords, humanLine, type LogLevel } from './logger.ts';

function recording(level: LogLevel = 'debug') {
  const lines: string[] = [];
  const logger = createLogger({ level, replica: 'a', destination: { write: (line) => lines.push(line) } });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? '{}') };
}

test('a line is JSON with level, message, replica and the facts', () => {
  const { logger, last } = recording();
  logger.info({ records: 3 }, 'applied');
  const { time, ...line } = last();
  assert.deepEqual(line, { level: 'info', replica: 'a', records: 3, message: 'applied' });
  assert.match(time, /^\d{4}-\d\d-\d\dT/);
});

test('lines below the level are not written', () => {
  const { logger, lines } = recording('warn');
  logger.info({}, 'small');
  logger.warn({}, 'large');
  assert.equal(lines.length, 1);
});

test('an error is written with its code, its causes and its stack', () => {
  const { logger, last } = recording();
  logger.error({ error: new DocbusError('disk_full', 'No room', { cause: new Error('ENOSPC') }) }, 'apply failed');
  assert.equal(last().error.code, 'disk_full');
  assert.equal(last().error.message, 'No room: ENOSPC');
  assert.match(last().error.stack, /logger\.test\.ts/);
});

test('secrets do not reach a line, neither as fields nor inside a URL', () => {
  const { logger, lines } = recording();
  logger.info({ token: 'hush1', chroma: { apiKey: 'hush2' }, url: 'amqp://me:hush3@host/' }, 'connect');
  logger.error({ error: new Error('cannot reach kafka://me:hush4@host:9092') }, 'failed');
  assert.doesNotMatch(lines.join(''), /hush/);
  assert.match(lines.join(''), /amqp:\/\/\*\*\*@host/);
});

test('hidePasswords leaves text alone that holds none', () => {
  for (const text of ['http://host:8000/a@b', 'a@b.c', 'sqlite:/var/lib/x.db', '{"a":"http://h","b":"c@d"}'])
    assert.equal(hidePasswords(text), text);
});

test('a person gets one short line with the words of the error', () => {
  const { logger, lines } = recording();
  logger.warn({ attempt: 2, error: new DocbusError('log_busy', 'The log is busy') }, 'append failed');
  assert.match(humanLine(lines[0] ?? ''), /^\d\d:\d\d:\d\d\.\d{3} warn  append failed {2}attempt=2 {2}error=log_busy: The log is busy\n$/);
});

test('a line that is not JSON is shown to a person as it is', () => {
  assert.equal(humanLine('plain\n'), 'plain\n');
});
