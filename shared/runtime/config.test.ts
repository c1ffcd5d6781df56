import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDocbusError } from '@docbus/core';
import { z } from 'zod';
import { nearest, optionalSetting, readSettings, setting, wholeNumber, type Environment } from './config.ts';

const settings = {
  log: setting({ names: ['APP_LOG'], about: 'the address of the log', example: 'sqlite:/log.db', schema: z.string() }),
  sweepMs: setting({ names: ['APP_SWEEP_MS'], about: 'the pause', example: '300', schema: wholeNumber(1, 1000), fallback: '300' }),
  token: optionalSetting({
    names: ['APP_TOKEN'],
    about: 'the token',
    example: 'a long word',
    schema: z.string().min(8, 'is too short'),
    secret: true,
  }),
  storage: optionalSetting({ names: ['APP_STORAGE', 'STORAGE'], about: 'the directory', example: '/storage', schema: z.string() }),
};
const read = (environment: Environment) => readSettings(environment, settings, { prefix: 'APP_', isOther: (name) => name === 'APP_OTHER' });

function problemsOf(environment: Environment): string[] {
  try {
    read(environment);
  } catch (error) {
    assert.ok(isDocbusError(error, 'config_invalid'));
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
  return [];
}

test('values are typed, defaults hold where nothing is set', () => {
  const { values } = read({ APP_LOG: 'x' });
  assert.deepEqual({ ...values }, { log: 'x', sweepMs: 300 });
});

test('every wrong variable is named in one error, with its problem and an example', () => {
  assert.deepEqual(problemsOf({ APP_SWEEP_MS: '1e3', APP_TOKEN: 'short' }), [
    'APP_LOG is not set. It is the address of the log, for example sqlite:/log.db',
    'APP_SWEEP_MS=1e3 must be a whole number from 1 to 1000, for example 300',
    'APP_TOKEN is too short, for example a long word',
  ]);
});

test('an empty variable is not set', () => {
  assert.equal(read({ APP_LOG: 'x', APP_SWEEP_MS: ' ' }).values.sweepMs, 300);
});

test('the first of several names that is set counts, and its origin says which', () => {
  const { values, origins } = read({ APP_LOG: 'x', STORAGE: '/s' });
  assert.equal(values.storage, '/s');
  assert.deepEqual(origins.storage, { name: 'STORAGE', from: 'environment', shown: '/s' });
  assert.equal(read({ APP_LOG: 'x', APP_STORAGE: '/a', STORAGE: '/s' }).values.storage, '/a');
});

test('origins never show a secret', () => {
  assert.doesNotMatch(JSON.stringify(read({ APP_LOG: 'x', APP_TOKEN: 'long enough' }).origins), /long enough/);
});

test('an unknown variable with our prefix is an error that names the nearest known one', () => {
  assert.deepEqual(problemsOf({ APP_LOG: 'x', APP_SWEEPMS: '1', APP_COMPLETELY_DIFFERENT: '1', OTHER: '1' }), [
    'APP_SWEEPMS is not a setting of docbus. Did you mean APP_SWEEP_MS?',
    'APP_COMPLETELY_DIFFERENT is not a setting of docbus. Remove it',
  ]);
});

test('a variable that another part of docbus reads is no error', () => {
  assert.doesNotThrow(() => read({ APP_LOG: 'x', APP_OTHER: '1' }));
});

test('what Kubernetes sets for a service of our name is no error', () => {
  const injected = {
    APP_SERVICE_HOST: '10.0.0.1',
    APP_SERVICE_PORT_HTTP: '1',
    APP_PORT: 'tcp://10.0.0.1:1',
    APP_PORT_1_TCP_ADDR: '10.0.0.1',
  };
  assert.doesNotThrow(() => read({ APP_LOG: 'x', ...injected }));
});

test('a password in an address is shown neither as origin nor in a problem', () => {
  const { origins } = read({ APP_LOG: 'amqp://me:hush@host' });
  assert.equal(origins.log.shown, 'amqp://***@host');
  assert.doesNotMatch(problemsOf({ APP_LOG: 'x', APP_SWEEP_MS: 'amqp://me:hush@host' }).join(), /hush/);
});

test('problems between settings stand in the same error', () => {
  const check = ({ log, sweepMs }: { log?: string; sweepMs?: number }): string[] =>
    log === 'x' && sweepMs === undefined ? ['APP_LOG does not fit'] : [];
  assert.throws(
    () => readSettings({ APP_LOG: 'x', APP_SWEEP_MS: '0' }, settings, { prefix: 'APP_', check }),
    (error) => isDocbusError(error, 'config_invalid') && /APP_SWEEP_MS=0 must[^]*APP_LOG does not fit/.test(error.message),
  );
});

test('wholeNumber takes bounds and refuses everything else', () => {
  const schema = wholeNumber(5, 10);
  for (const text of ['5', '10', '07']) assert.ok(schema.safeParse(text).success, text);
  for (const text of ['4', '11', '-5', '5.5', '0x7', '', '99999999999999999999']) assert.ok(!schema.safeParse(text).success, text);
});

test('nearest finds a misspelling and nothing far away', () => {
  assert.equal(nearest('stauts', ['agent', 'status', 'deletes']), 'status');
  assert.equal(nearest('zzzzzz', ['agent', 'status', 'deletes']), undefined);
});
