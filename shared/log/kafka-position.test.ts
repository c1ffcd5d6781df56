import { test } from 'node:test';
import assert from 'node:assert/strict';
import { documentKey, embeddingKey, isDocbusError, membershipKey, parseDocPath, parseSlug, workspaceKey } from '@docbus/core';
import { formatKafkaPosition, groupOf, parseKafkaPosition, partitionOf } from './kafka-position.ts';
import type { Position } from './port.ts';

const topic = '81SAsdx1TmSdBB703W__tw';

test('a position is read as it was written, offsets of any size', () => {
  const offsets = new Map([
    [0, { offset: 0n, epoch: -1, mark: '' }],
    [3, { offset: 2n ** 62n, epoch: 7, mark: 'rs.0.11' }],
  ]);
  assert.deepEqual(parseKafkaPosition(formatKafkaPosition(topic, offsets), topic, 'kafka'), offsets);
  assert.deepEqual(parseKafkaPosition(formatKafkaPosition(topic, new Map()), topic, 'kafka'), new Map());
});

test('a position of before there were marks in it still holds', () => {
  assert.deepEqual(
    parseKafkaPosition(`kafka:${topic}:0=12,1=7@3~a.0.6` as Position, topic, 'kafka'),
    new Map([
      [0, { offset: 12n, epoch: -1, mark: '' }],
      [1, { offset: 7n, epoch: 3, mark: 'a.0.6' }],
    ]),
  );
});

test('a position of another topic, of another product, or of nobody is log_recreated', () => {
  for (const position of [
    `kafka:other:0=1`,
    `amqp:${topic}:1`,
    `kafka:${topic}:x`,
    `kafka:${topic}:0=1,`,
    `kafka:${topic}:0=1@`,
    `kafka:${topic}`,
    '',
    'nonsense',
  ])
    assert.throws(
      () => parseKafkaPosition(position as Position, topic, 'kafka'),
      (error) => isDocbusError(error, 'log_recreated'),
    );
});

test('what is about one document is one group: its changes, their parts, sealed or not', () => {
  const path = parseDocPath('folder/file.json');
  const changes = [documentKey(path), embeddingKey(path), membershipKey(parseSlug('part'), path), membershipKey(parseSlug('w'), path)];
  const parts = changes.map((key) => `part/${key}/${'a'.repeat(64)}/12`);
  assert.deepEqual([...new Set([...changes, ...parts].map(groupOf))], [path]);
  assert.equal(groupOf('sealed/group/name'), groupOf('sealed/group/other'));
  assert.notEqual(groupOf(workspaceKey(parseSlug('w'))), groupOf(workspaceKey(parseSlug('v'))));
});

test('a group’s partition depends on nothing but its name and their number', () => {
  assert.deepEqual(
    Array.from({ length: 8 }, (_, i) => partitionOf(`document/f/${i}.json`, 4)),
    Array.from({ length: 8 }, (_, i) => partitionOf(`embedding/f/${i}.json`, 4)),
  );
  assert.equal(partitionOf('document/f/1.json', 4), 1, 'and it stays so: a key must not move');
  assert.equal(partitionOf('anything', 1), 0);
});
