import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DocbusError, isDocbusError, reasonOf, remedies } from './errors.ts';

test('every code has a remedy, and an error tells its own', () => {
  for (const [code, remedy] of Object.entries(remedies)) assert.equal(new DocbusError(code as keyof typeof remedies, 'x').remedy, remedy);
});

test('an error is recognised by its code', () => {
  const error = new DocbusError('disk_full', 'x');
  assert.ok(isDocbusError(error));
  assert.ok(isDocbusError(error, 'disk_failed', 'disk_full'));
  assert.ok(!isDocbusError(error, 'disk_failed'));
  assert.ok(!isDocbusError(new Error('x')));
  assert.ok(!isDocbusError(undefined));
});

test('a reason has the words of all causes', () => {
  const error = new DocbusError('disk_full', 'Cannot write', { cause: new Error('no space left', { cause: 'ENOSPC' }) });
  assert.equal(reasonOf(error), 'Cannot write: no space left: ENOSPC');
  assert.equal(reasonOf('plain'), 'plain');
  assert.equal(reasonOf(undefined), 'undefined');
});

test('a reason says nothing twice, and a cause after a sentence is called one', () => {
  const refused = new Error('Connection error: refused', { cause: new Error('Connection error: refused', { cause: 'refused' }) });
  const error = new DocbusError('log_unreachable', 'Kafka is away. It is tried again.', { cause: refused });
  assert.equal(reasonOf(error), 'Kafka is away. It is tried again. Cause: Connection error: refused');
  assert.equal(
    reasonOf(new Error('Kafka is away: refused', { cause: refused.cause })),
    'Kafka is away: refused: Connection error: refused',
  );
});
