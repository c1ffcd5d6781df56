import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DocbusError } from '@docbus/core';
import { describeFailure } from './exit.ts';

test('wrong settings end with 2, and the message has no stack', () => {
  assert.deepEqual(describeFailure(new DocbusError('config_invalid', 'words')), { code: 2, text: 'words\n' });
  assert.equal(describeFailure(new DocbusError('node_too_old', 'words')).code, 2);
});

test('any other error of docbus ends with 1 and tells its causes', () => {
  const failure = describeFailure(new DocbusError('state_locked', 'Another agent holds it', { cause: new Error('EAGAIN') }));
  assert.deepEqual(failure, { code: 1, text: 'Another agent holds it: EAGAIN\n' });
});

test('a bug ends with 1 and shows the stacks of itself and its cause', () => {
  const { code, text } = describeFailure(new TypeError('outer', { cause: new RangeError('inner') }));
  assert.equal(code, 1);
  assert.match(text, /TypeError: outer\n\s+at /);
  assert.match(text, /RangeError: inner\n\s+at /);
});

test('being stopped is no failure to talk about', () => {
  assert.deepEqual(describeFailure(new DocbusError('aborted', 'SIGINT')), { code: 130, text: '' });
});
