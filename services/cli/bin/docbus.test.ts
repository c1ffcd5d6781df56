import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('docbus.js', import.meta.url));
const check = fileURLToPath(new URL('check-node.cjs', import.meta.url));

function docbus(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], { encoding: 'utf8', env: {} });
  return { status, stdout, stderr };
}

/** The check under a Node that claims to be another one. */
function checkAs(version: string) {
  const claim = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require(${JSON.stringify(check)})`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', claim], { encoding: 'utf8' });
  return { status, stderr };
}

test('the command answers, and Node adds no warnings of its own', () => {
  const { status, stdout, stderr } = docbus('help');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^usage: docbus/);
});

test('wrong settings end with 2 and one message without a stack', () => {
  const { status, stdout, stderr } = docbus('config');
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^2 settings are wrong:\n {2}DOCBUS_LOG is not set\..*\n {2}DOCBUS_STORAGE_DIR or STORAGE_DIR is not set\..*\n$/);
});

test('an unknown command ends with 2', () => {
  assert.deepEqual(docbus('stauts'), {
    status: 2,
    stdout: '',
    stderr: 'docbus has no command "stauts". Did you mean status? See: docbus help\n',
  });
});

test('an older Node is refused in one line that says what to do', () => {
  for (const version of ['12.22.12', '20.20.2', '23.11.0']) {
    const { status, stderr } = checkAs(version);
    assert.equal(status, 2);
    assert.match(stderr, new RegExp(`^docbus needs Node 24 or newer, but this is Node ${version} .*npm ci.*install Node 24\\.\n$`));
  }
});

test('Node 24 and newer pass', () => {
  for (const version of ['24.0.0', '25.1.0', '100.0.0']) assert.deepEqual(checkAs(version), { status: 0, stderr: '' });
});
