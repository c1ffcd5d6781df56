import assert from 'node:assert/strict';
import { test } from 'node:test';
import { absent, reconcile, samePicture, type Edit, type Known, type Picture } from './reconcile.ts';

const seen = (hash: string): Picture => ({ state: 'present', hash });
const nothing: Known = { entry: undefined, intents: [] };
const recorded = (hash: string, applied = true): Known => ({
  entry: { version: { revision: 1, replica: 'a' }, state: 'present', hash, applied },
  intents: [],
});
const tombstone: Known = {
  entry: { version: { revision: 2, replica: 'a' }, state: 'deleted', hash: '', applied: true },
  intents: [],
};
const intending = (known: Known, intent: Picture): Known => ({ ...known, intents: [intent] });

const cases: readonly [string, Picture, Known, Edit][] = [
  ['something new is a put', seen('h'), nothing, 'put'],
  ['nothing that nobody knows is no edit', absent, nothing, 'none'],
  ['what is recorded and there is no edit', seen('h'), recorded('h'), 'none'],
  ['another content than recorded is a put', seen('h2'), recorded('h1'), 'put'],
  ['what is recorded and gone is a delete', absent, recorded('h'), 'delete'],
  ['what was never applied here cannot be deleted here', absent, recorded('h', false), 'none'],
  ['what was never applied here and is there all the same is no edit if it is equal', seen('h'), recorded('h', false), 'none'],
  ['what was never applied here and is there with another content is a put', seen('h2'), recorded('h', false), 'put'],
  ['what comes back after its deletion is a put', seen('h'), tombstone, 'put'],
  ['what stays away after its deletion is no edit', absent, tombstone, 'none'],
  ['what docbus itself was writing is no edit', seen('h2'), intending(recorded('h1'), seen('h2')), 'none'],
  ['what docbus itself was writing for the first time is no edit', seen('h'), intending(nothing, seen('h')), 'none'],
  ['what docbus itself was removing is no edit', absent, intending(recorded('h'), absent), 'none'],
  ['a crash before the write leaves what was recorded: no edit', seen('h1'), intending(recorded('h1'), seen('h2')), 'none'],
  ['an edit while docbus was writing something else is a put', seen('h3'), intending(recorded('h1'), seen('h2')), 'put'],
  ['an edit while docbus was removing is a put', seen('h2'), intending(recorded('h1'), absent), 'put'],
  ['a removal while docbus was writing is a delete', absent, intending(recorded('h1'), seen('h2')), 'delete'],
  [
    'what docbus was writing before the last crash but one is no edit either',
    seen('h2'),
    { ...recorded('h1'), intents: [seen('h2'), seen('h3')] },
    'none',
  ],
];
for (const [name, picture, known, edit] of cases) test(name, () => assert.equal(reconcile(picture, known), edit));

test('pictures are the same when both are absent or show one content', () => {
  assert.ok(samePicture(absent, { state: 'absent' }));
  assert.ok(samePicture(seen('h'), seen('h')));
  assert.ok(!samePicture(seen('h'), seen('i')));
  assert.ok(!samePicture(seen('h'), absent));
  assert.ok(!samePicture(absent, seen('h')));
});
