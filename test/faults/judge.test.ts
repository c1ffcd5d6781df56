import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change, Key } from '@docbus/core';
import type { Edit } from './edits.ts';
import { judge } from './judge.ts';
import { hasPassed, type Outcome } from './outcome.ts';

const key = 'document/wiki/page.json' as Key;
let seq = 0;
const edit = (before: string, after: string, replica = 'a', more: Partial<Edit> = {}): Edit => ({
  seq: (seq += 1),
  replica,
  key,
  before,
  after,
  operation: 'test',
  at: seq * 1_000,
  recorded: true,
  known: {},
  failed: false,
  ...more,
});
const change = (hash: string, replica: string, revision: number, base: Change['base'] = {}) => ({
  at: 0,
  change: { key, hash, state: hash === '' ? 'deleted' : 'present', version: { replica, revision }, base } as Change,
});
const finals = (...hashes: readonly string[]) => hashes.map((hash) => new Map(hash === '' ? [] : [[key, hash]]));
const evidence = { changes: [], kept: new Set<string>() };

test('an edit that some replica lacks at the end is lost', () => {
  const edits = [edit('', 'one')];
  assert.equal(judge({ ...evidence, edits, finals: finals('one', 'one') }).lost.length, 0);
  assert.equal(judge({ ...evidence, edits, finals: finals('one', '') }).lost.length, 1);
});

test('an edit that was replaced by somebody who had it is safe, and one that was overwritten unseen is lost', () => {
  const first = edit('', 'one');
  assert.equal(judge({ ...evidence, edits: [first, edit('one', 'two', 'b')], finals: finals('two') }).lost.length, 0);
  assert.equal(judge({ ...evidence, edits: [first, edit('', 'two', 'b')], finals: finals('two') }).lost.length, 1);
});

test('what lost a conflict must be kept', () => {
  const edits = [edit('', 'one'), edit('', 'two', 'b')];
  assert.equal(judge({ ...evidence, edits, finals: finals('two'), kept: new Set([`${key} one`]) }).lost.length, 0);
});

test('an edit that another was built upon is safe, also where the look came too early', () => {
  const edits = [edit('', 'one'), edit('', 'two', 'b')];
  const changes = [change('one', 'a', 1), change('two', 'b', 2, { a: 1 })];
  assert.equal(judge({ ...evidence, edits, changes, finals: finals('two') }).lost.length, 0);
});

test('a membership that goes with a workspace is safe, also where the log lost its record behind somebody who had read it', () => {
  const membership = 'membership/w/wiki/page.json' as Key;
  const embed = edit('', 'rows', 'a', { key: membership });
  const edits = [
    edit('', 'page'),
    embed,
    edit('set', '', 'b', { key: 'workspace/w' as Key }),
    edit('', 'set', 'c', { key: 'workspace/w' as Key }),
  ];
  const final = [
    new Map([
      [key, 'page'],
      ['workspace/w' as Key, 'set'],
    ]),
  ];
  const gone = (base: Change['base']) => {
    const deletion = change('', 'b', 2, base);
    return { ...deletion, change: { ...deletion.change, key: membership } as Change };
  };
  const lost = (changes: readonly ReturnType<typeof gone>[]): number => judge({ ...evidence, edits, changes, finals: final }).lost.length;
  assert.equal(lost([gone({ a: 1 })]), 0);
  assert.equal(lost([gone({})]), 1, 'nobody had read it');
  assert.equal(lost([]), 1);
});

test('what was deleted and is there again is extra, unless a put that was not heard of won', () => {
  const edits = [edit('', 'one'), edit('one', '')];
  assert.equal(judge({ ...evidence, edits, finals: finals('one') }).extra.length, 1);
  assert.equal(
    judge({ ...evidence, edits: [edit('', 'one', 'b'), edit('one', '', 'a', { recorded: false })], finals: finals('one') }).extra.length,
    0,
  );
  // Both came to the same, and whoever deleted it had not heard of the other's yet.
  const both = [edit('', 'one', 'b'), edit('', 'one'), edit('one', '', 'a', { recorded: false })];
  const others = { ...change('one', 'b', 1), at: (both[2]?.at ?? 0) - 1 };
  assert.equal(judge({ ...evidence, edits: both, changes: [others], finals: finals('one') }).extra.length, 0);
  assert.equal(judge({ ...evidence, edits: both, finals: finals('one') }).extra.length, 1);
  const late = { ...change('one', 'b', 2), at: (edits[1]?.at ?? 0) + 1 };
  assert.equal(judge({ ...evidence, edits, changes: [late], finals: finals('one') }).extra.length, 0);
});

test('what was deleted is there again where somebody else had come to the same, and its replica had not heard of that', () => {
  const evidenceOf = (known: Edit['known']) => {
    const edits = [edit('', 'one'), edit('', 'one', 'b'), edit('one', '', 'a', { known })];
    return { ...evidence, edits, changes: [change('one', 'a', 1), change('one', 'b', 1)], finals: finals('one') };
  };
  assert.equal(judge(evidenceOf({ a: 1 })).extra.length, 0);
  assert.equal(judge(evidenceOf({ a: 1, b: 1 })).extra.length, 1);
});

test('what nobody made is extra', () => {
  assert.equal(judge({ ...evidence, edits: [], finals: finals('one') }).extra.length, 1);
});

test('a run passes only when every fault took effect and something was done', () => {
  const good: Outcome = {
    log: 'sqlite',
    seed: 1,
    seconds: 1,
    operations: { attempted: 1, completed: 1, failed: 0 },
    edits: 1,
    published: {},
    applied: {},
    conflicts: {},
    approved: 0,
    quarantined: 0,
    converged: true,
    convergedMs: 1,
    lost: [],
    diverged: [],
    extra: [],
    faults: { kill: { injected: 2, proven: 2, evidence: 'gone' } },
    trace: '',
    history: [],
    cannot: [],
  };
  assert.equal(hasPassed(good), true);
  assert.equal(hasPassed({ ...good, faults: { kill: { injected: 2, proven: 1, evidence: 'gone' } } }), false);
  assert.equal(hasPassed({ ...good, faults: { kill: { injected: 0, proven: 0, evidence: '' } } }), false);
  assert.equal(hasPassed({ ...good, lost: ['x'] }), false);
  assert.equal(hasPassed({ ...good, converged: false }), false);
});
