import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDocbusError } from '@docbus/core';
import type { Environment } from '@docbus/runtime';
import { main } from './main.ts';

const never = new AbortController().signal;

async function run(args: readonly string[], environment: Environment = {}) {
  const lines: string[] = [];
  const code = await main(args, { environment, print: (text) => lines.push(text), signal: never });
  return { code: code ?? 0, text: lines.join('\n') };
}

async function refusal(...args: string[]): Promise<string> {
  let words = '';
  await assert.rejects(run(args), (error) => {
    assert.ok(isDocbusError(error, 'config_invalid'));
    words = error.message;
    return true;
  });
  return words;
}

test('without arguments the commands are listed', async () => {
  const { text } = await run([]);
  for (const name of ['agent', 'status', 'deletes', 'quarantine', 'conflicts', 'copy', 'config', 'demo'])
    assert.match(text, new RegExp(`^ {2}${name} +\\w`, 'm'));
  assert.equal((await run(['--help'])).text, text);
  assert.equal((await run(['help'])).text, text);
});

test('every command explains itself without doing anything', async () => {
  for (const name of ['status', 'deletes', 'quarantine', 'conflicts', 'copy', 'config', 'demo']) {
    const { text } = await run([name, '--help']);
    assert.match(text, new RegExp(`^usage: docbus ${name}`));
    assert.equal((await run(['help', name])).text, text);
  }
});

test('the version is shown', async () => {
  assert.match((await run(['--version'])).text, /^\d+\.\d+\.\d+$/);
});

test('an unknown command is refused with the nearest known one', async () => {
  assert.equal(await refusal('stauts'), 'docbus has no command "stauts". Did you mean status? See: docbus help');
  assert.equal(await refusal('toString'), 'docbus has no command "toString". See: docbus help');
  assert.match(await refusal('help', 'nothing-like-it'), /no command/);
});

test('an unknown option is refused with the nearest known one', async () => {
  assert.equal(
    await refusal('deletes', '--agnt', 'x'),
    'docbus deletes has no option --agnt. Did you mean --agent? See: docbus deletes --help',
  );
  assert.match(await refusal('deletes', '--agent'), /--agent.*argument missing.* See: docbus deletes --help/);
});

test('an unknown verb and superfluous words are refused', async () => {
  assert.match(await refusal('deletes', 'aprove'), /docbus deletes has no aprove; it has list, approve, revert\./);
  assert.match(await refusal('conflicts', 'list', 'more'), /takes no "more" here/);
  assert.match(await refusal('config', 'more'), /takes no "more" here/);
});

test('config shows what is in force and masks secrets', async () => {
  const environment = { DOCBUS_LOG: 'sqlite:/log.db', STORAGE_DIR: '/storage', DOCBUS_TOKEN: 'hush-hush' };
  const { text } = await run(['config'], environment);
  assert.match(text, /^STORAGE_DIR +\/storage +environment$/m);
  assert.match(text, /^DOCBUS_SWEEP_MS +300000 +default$/m);
  assert.match(text, /^DOCBUS_TOKEN +\*\*\* +environment$/m);
  const shown = JSON.parse((await run(['config', '--json'], environment)).text) as { name: string }[];
  assert.ok(shown.some(({ name }) => name === 'DOCBUS_SWEEP_MS'));
});

test('config names what is wrong', async () => {
  assert.match(await refusal('config'), /2 settings are wrong[^]*DOCBUS_LOG[^]*STORAGE_DIR/);
});
