// The judge itself: what it does not excuse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkEmbeddingsKept, isOvertaken } from './checks.ts';

const document = 'document/f/p.json';
const membership = 'membership/w/f/p.json';
const entry = (key: string, state = 'present', revision = 1, replica = 'a') => ({
  key,
  state,
  hash: state === 'present' ? 'h' : '',
  version: { revision, replica },
  base: {},
});
const recordOf = (change: ReturnType<typeof entry>) => ({ change, replica: change.version.replica, lost: false });

test('an embedding that is deleted alone is a loss, also of a document from before the first contact', () => {
  const deleted = entry('embedding/f/p.json', 'deleted', 2, 'b');
  const kept = [entry(document), entry('workspace/w'), entry(membership)];
  const entries = new Map([...kept, deleted].map((one) => [one.key, one]));
  const manifest = { entries: () => entries.values(), entry: (key: string) => entries.get(key) };
  const made = { seq: 0, key: document, replica: 'a', before: '', after: 'h', at: 0, seen: 0, firstContact: true };
  const journal = [...kept, entry('embedding/f/p.json'), deleted].map(recordOf);
  const judge = (records: typeof journal, at: number): void =>
    checkEmbeddingsKept({ machines: [{ manifest }], journal: records, edits: [{ ...made, at }] } as never);
  assert.throws(() => judge(journal, 0), /is deleted, and they are not/);
  const anew = [recordOf(entry(document, 'deleted', 2, 'b')), ...journal];
  assert.doesNotThrow(() => judge(anew, 1), 'it was deleted, and made anew by somebody who had lost what he knew');
});

test('what was published before the backup is known to whom it was restored', () => {
  const journal = [entry('workspace/x', 'present', 1, 'b'), entry(membership), entry('document/f/other.json', 'present', 1, 'b')];
  const edit = { seq: 1, key: membership, replica: 'a', before: 'h', after: '', at: 3, seen: 1, firstContact: false, landed: false };
  const isExcused = (machine: { readonly forgotAt: number; readonly backupAt: number }): boolean =>
    isOvertaken({ machines: [{ id: 'a', ...machine }], journal: journal.map(recordOf) } as never, edit as never);
  assert.equal(isExcused({ forgotAt: 0, backupAt: 0 }), false, 'without a restore');
  assert.equal(isExcused({ forgotAt: 3, backupAt: 2 }), false, 'the backup has it');
  assert.equal(isExcused({ forgotAt: 3, backupAt: 1 }), true, 'it was published after the backup');
});
