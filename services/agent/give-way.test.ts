import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { documentKey, sha256, type Change, type DocPath } from '@docbus/core';
import { recordsOf } from '@docbus/log';
import { packPayload } from '@docbus/log/payload.ts';
import { DOCUMENT_BYTES_MAX, openTestAgent } from './agent-for-tests.ts';

const never = new AbortController().signal;
const large = documentKey('f/large.json' as DocPath);
const link = documentKey('f/link.json' as DocPath);

test('what cannot be replicated from here is not overwritten nor removed by what comes: it refuses the change', async (t) => {
  const { agent, manifest, storageDir } = openTestAgent(t, (options) => ({ ...options, settings: { ...options.settings, settleMs: 0 } }));
  const documents = join(storageDir, 'documents');
  const file = join(documents, 'f', 'large.json');
  const content = JSON.stringify({ pageContent: 'x'.repeat(DOCUMENT_BYTES_MAX) });
  mkdirSync(join(storageDir, 'elsewhere'));
  writeFileSync(join(storageDir, 'elsewhere', 'a.json'), '{}');
  symlinkSync(join(storageDir, 'elsewhere', 'a.json'), join(documents, 'f', 'link.json'));
  writeFileSync(file, content);

  const bytes = Buffer.from('{"pageContent":"from b"}');
  const common = { base: {}, instance: 'b', time: 0 };
  const put = (key: typeof large): Change => ({
    ...common,
    key,
    version: { revision: 1, replica: 'b' },
    hash: sha256(bytes),
    state: 'present',
    content: { bytes: bytes.length },
  });
  const remove = (key: typeof large): Change => ({
    ...common,
    key,
    version: { revision: 2, replica: 'b' },
    hash: '',
    state: 'deleted',
    content: null,
  });
  const arrive = async (change: Change): Promise<void> => {
    await agent.context.log.append(recordsOf(change, change.state === 'present' ? packPayload(bytes) : undefined), never);
    await agent.consumeOnce(never);
  };
  for (const changeOf of [put, remove]) {
    for (const key of [large, link]) await arrive(changeOf(key));
    assert.equal(readFileSync(file, 'utf8'), content);
    assert.equal(readFileSync(join(documents, 'f', 'link.json'), 'utf8'), '{}');
    assert.deepEqual(
      new Set(manifest.quarantined().map(({ key, code, change }) => `${key} ${code} ${change?.state}`)),
      new Set([`${large} document_too_large ${changeOf(large).state}`, `${link} path_refused ${changeOf(link).state}`]),
    );
  }
});
