import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Key } from '@docbus/core';
import { historyOf, type Trace } from './history.ts';

function output(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'docbus-history-'));
  t.after(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'agent.log'), text);
  return join(directory, 'agent.log');
}

test('of what a verdict names everything is told in the order of time, and nothing of the rest', (t) => {
  const change = (key: string, revision: number) => ({
    at: revision * 1000,
    change: {
      key: key as Key,
      version: { revision, replica: 'a' },
      base: {},
      state: 'deleted',
      hash: '',
      content: null,
      instance: '',
      time: 0,
    } as const,
  });
  const trace: Trace = {
    edits: [],
    notes: ['1970-01-01T00:00:03.000Z a embed wiki/page.json', '1970-01-01T00:00:03.000Z a embed wiki/other.json'],
    changes: [change('document/wiki/page.json', 2), change('membership/beta/wiki/page.json', 4), change('document/wiki/other.json', 2)],
  };
  const log = output(t, '{"time":"1970-01-01T00:00:01.000Z","key":"embedding/wiki/page.json"}\n{"time":"x"}\n');
  const lines = historyOf(['beta/wiki/page.json (1-2) has no vectors anywhere'], trace, [log]);
  assert.equal(lines[0], 'history of wiki/page.json:');
  assert.deepEqual(
    lines.slice(1).map((line) => line.slice(2, 26)),
    [1, 2, 3, 4].map((second) => `1970-01-01T00:00:0${second}.000Z`),
  );
});
